/** On one connection: who hears which subscription id, and what is asked for already, by its key. */
export class Routes<Hearer> {
  private readonly ids = new Map<Hearer, string>();
  private readonly hearers = new Map<string, Set<Hearer>>();
  private readonly claims = new Map<Hearer, string[]>();

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

  /** What somebody asks for now, or may be asking for while the node has not answered. */
  claim(hearer: Hearer, ...keys: string[]): void {
    this.claims.set(hearer, keys);
  }

  claimed(hearer: Hearer): string[] {
    return this.claims.get(hearer) ?? [];
  }

  /** What is asked for. */
  get taken(): Set<string> {
    return new Set([...this.claims.values()].flat());
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
