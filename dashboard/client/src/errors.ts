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

/** No node could be asked, or the connection was lost before its answer came. */
export const unavailable = (description: string) => new FleetwireError(503, "unavailable", description);
