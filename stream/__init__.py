"""Redis to clients: the stateless node with its WebSocket, SSE and REST doors."""
