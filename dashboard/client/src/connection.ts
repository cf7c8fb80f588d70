import type { Codec } from "./codec.ts";
import { unavailable } from "./errors.ts";
import { Requests } from "./requests.ts";
import type { Message } from "./types.ts";

/** What of the browser's WebSocket is used: any constructor of such a thing will do. */
export type WebSocketLike = new (url: string, protocols: string) => WebSocket;

/** What is sent, but for its request id. */
export interface Command {
  action: string;
  [field: string]: unknown;
}

/** Who is told what happens to a connection. */
export interface Listener {
  opened(): void;
  heard(message: Message, bytes: number): void;
  closed(code: number, reason: string): void;
}

/** One socket's life. */
export class Connection {
  private readonly socket: WebSocket;
  private readonly requests = new Requests();
  private readonly codec: Codec;
  private readonly listener: Listener;
  private over = false;

  constructor(url: string, codec: Codec, Socket: WebSocketLike, listener: Listener) {
    this.codec = codec;
    this.listener = listener;
    this.socket = new Socket(url, codec.subprotocol);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => listener.opened();
    this.socket.onmessage = event => this.hear(event.data);
    this.socket.onclose = event => this.end(event.code, event.reason);
    this.socket.onerror = () => {}; // a close follows
  }

  /** Send a command. `replied` is called as soon as the reply is there, before any frame that follows it. */
  request(command: Command, replied: (reply: Message) => void = () => {}): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (this.over) return reject(unavailable("the connection is closed"));
      const requestId = this.requests.open({
        replied: reply => {
          replied(reply);
          resolve(reply);
        },
        failed: reject,
      });
      this.socket.send(this.codec.encode({ ...command, requestId }));
    });
  }

  /** End it at once, whatever the other side does. */
  close(code = 1000, reason = ""): void {
    this.socket.close(1000);
    this.end(code, reason);
  }

  private hear(data: string | ArrayBuffer): void {
    if (this.over) return;
    const message = this.codec.decode(data);
    this.listener.heard(message, typeof data === "string" ? data.length : data.byteLength);
    this.requests.settle(message);
  }

  private end(code: number, reason: string): void {
    if (this.over) return;
    this.over = true;
    this.requests.abandon(`the connection was lost: ${code} ${reason}`.trim());
    this.listener.closed(code, reason);
  }
}
