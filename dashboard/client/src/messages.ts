import type { Answer, Command, ErrorReply, Event } from "./protocol.ts";

/** What a node says. */
export type Message = Answer | ErrorReply | Event;

/** A command without its request id. */
export type Order = Unnumbered<Command>;

type Unnumbered<C> = C extends Command ? Omit<C, "requestId"> : never;

/** The reply to a command, by its action. */
export type AnswerTo<Action, Any = Answer> = Any extends { action: infer A }
  ? Action extends A
    ? Any
    : never
  : never;

/** Whether a message is for a subscription. */
export const isEvent = (message: Message): message is Event =>
  "subscriptionId" in message && !("requestId" in message) && !("error" in message);
