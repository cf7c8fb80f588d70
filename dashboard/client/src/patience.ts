import { disconnected } from "./errors.ts";

/** How long a command may wait: ms, instead of the client's own, or until a signal is aborted. */
export interface Patience {
  timeout?: number;
  signal?: AbortSignal;
}

/** A signal that is aborted when the patience ends. */
export function signalOf({ timeout, signal }: Patience, usual: number): AbortSignal {
  const timer = AbortSignal.timeout(timeout ?? usual);
  return signal ? AbortSignal.any([signal, timer]) : timer;
}

/** What comes first: the result, or the end of the patience, which is an error. */
export async function within<T>(signal: AbortSignal, result: Promise<T>): Promise<T> {
  let stop = () => {};
  const ended = new Promise<never>((_, reject) => {
    stop = () => reject(reasonOf(signal));
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([result, ended]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

const reasonOf = ({ reason }: AbortSignal): unknown =>
  reason?.name === "TimeoutError" ? disconnected("no node has answered in time") : reason;
