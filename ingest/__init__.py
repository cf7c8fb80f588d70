"""MQTT to Redis: the bridge."""
