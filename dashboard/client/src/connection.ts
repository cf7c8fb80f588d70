import type { Codec } from "./codec.ts";
import { disconnected, type FleetwireError } from "./errors.ts";
import type { AnswerTo, Message, Order } from "./messages.ts";
import { Requests } from "./requests.ts";

/** A constructor of WebSockets, as browsers have it. */
export type WebSocketLike = new (url: string, protocols: string) => WebSocket;

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
    this.socket.onopen = () => this.over || listener.opened();
    this.socket.onmessage = event => this.hear(event.data);
    this.socket.onclose = event => this.end(event.code, event.reason);
    this.socket.onerror = () => {}; // a close follows
  }

  /**
   * Send a command. `replied` is called when the reply is there, before the next message is looked at.
   *
   * Rejects with the node's error, or when the connection is lost before the reply.
   */
  request<O extends Order>(
    order: O,
    replied?: (reply: AnswerTo<O["action"]>) => void,
  ): Promise<AnswerTo<O["action"]>> {
    return new Promise((resolve, reject) => {
      if (this.over) {
        reject(disconnected("the connection is closed"));
        return;
      }
      const requestId = this.requests.open({
        replied: reply => {
          replied?.(reply as AnswerTo<O["action"]>);
          resolve(reply as AnswerTo<O["action"]>);
        },
        failed: reject,
      });
      this.socket.send(this.codec.encode({ ...order, requestId }));
    });
  }

  /** End it at once, whether or not the other side answers. Who waits for a reply gets the error. */
  close(error: FleetwireError, code = 1006): void {
    if (this.over) return;
    this.socket.close();
    this.end(code, error.message, error);
  }

  private hear(data: string | ArrayBuffer): void {
    if (this.over) return;
    const message = this.codec.decode(data);
    this.listener.heard(message, typeof data === "string" ? data.length : data.byteLength);
    this.requests.settle(message);
  }

  private end(code: number, reason: string, error = disconnected(closing(code, reason))): void {
    if (this.over) return;
    this.over = true;
    this.requests.abandon(error);
    this.listener.closed(code, reason);
  }
}

/** Why a connection was closed, for people. */
export const closing = (code: number, reason: string): string =>
  reason || (code === 1006 ? "the connection broke" : `closed with ${code}`);
