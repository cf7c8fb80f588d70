/** A command that was not carried out: number and reason are those of the protocol's table of errors. */
export class FleetwireError extends Error {
  override readonly name = "FleetwireError";
  readonly number: number;
  readonly reason: string;

  constructor(number: number, reason: string, description: string) {
    super(description);
    this.number = number;
    this.reason = reason;
  }
}

/** There is no connection, or it was lost before the answer came: nobody knows whether the node has heard. */
export const disconnected = (description: string) => new FleetwireError(503, "disconnected", description);

/** What an error is to us when somebody else may have thrown it. */
export const toFleetwireError = (error: unknown): FleetwireError =>
  error instanceof FleetwireError ? error : disconnected(error instanceof Error ? error.message : String(error));
