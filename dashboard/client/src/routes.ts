/** On one connection: who hears which subscription id, and what is asked for already, by its key. */
export class Routes<Hearer> {
  private readonly ids = new Map<Hearer, string>();
  private readonly hearers = new Map<string, Set<Hearer>>();
  private readonly claims = new Map<Hearer, string>();

  /** Who hears an id. */
  at(id: string): Hearer[] {
    return [...(this.hearers.get(id) ?? [])];
  }

  /** What somebody hears. */
  id(hearer: Hearer): string | undefined {
    return this.ids.get(hearer);
  }

  /** Whether others hear the same. */
  isShared(hearer: Hearer): boolean {
    return this.at(this.ids.get(hearer) ?? "").length > 1;
  }

  /** Somebody hears an id, and no other. */
  set(hearer: Hearer, id: string): void {
    this.release(hearer);
    this.ids.set(hearer, id);
    this.hearers.set(id, new Set([...this.at(id), hearer]));
  }

  /** Somebody hears nothing, and asks for nothing. */
  remove(hearer: Hearer): void {
    this.release(hearer);
    this.claims.delete(hearer);
  }

  /** Nobody hears an id any more. Gives who did. */
  clear(id: string): Hearer[] {
    const before = this.at(id);
    for (const hearer of before) this.remove(hearer);
    return before;
  }

  /** Somebody asks for something. */
  claim(hearer: Hearer, key: string): void {
    this.claims.set(hearer, key);
  }

  /** What is asked for. */
  get taken(): Iterable<string> {
    return this.claims.values();
  }

  isTaken(key: string): boolean {
    return [...this.taken].includes(key);
  }

  private release(hearer: Hearer): void {
    const id = this.ids.get(hearer);
    if (id === undefined) return;
    this.ids.delete(hearer);
    const left = this.hearers.get(id);
    left?.delete(hearer);
    if (left?.size === 0) this.hearers.delete(id);
  }
}
