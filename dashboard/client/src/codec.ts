import { decode, encode } from "@msgpack/msgpack";
import type { Message } from "./messages.ts";
import { type Format, SUBPROTOCOLS } from "./protocol.ts";

/** How commands and messages look on the wire. */
export interface Codec {
  subprotocol: string;
  encode(command: object): string | Uint8Array<ArrayBuffer>;
  decode(data: string | ArrayBuffer): Message;
}

const CODECS: Record<Format, Codec> = {
  json: {
    subprotocol: SUBPROTOCOLS.json,
    encode: command => JSON.stringify(command),
    decode: data => JSON.parse(data as string),
  },
  msgpack: {
    subprotocol: SUBPROTOCOLS.msgpack,
    encode: command => encode(command, { ignoreUndefined: true }),
    decode: data => decode(data as ArrayBuffer) as Message,
  },
};

/** The codec of a format. Both carry the same maps; times and numbers fit a double, ids are texts. */
export const codec = (format: Format): Codec => CODECS[format];
