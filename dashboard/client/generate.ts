// Writes the types and tables of the client protocol, from its AsyncAPI document on standard input, to a file:
// `npm run types` makes src/protocol.ts.

import { writeFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { compile, type JSONSchema } from "json-schema-to-typescript";

type Schemas = Record<string, JSONSchema>;

interface Document {
  info: { title: string; version: string };
  channels: { stream: { "x-subprotocols": Record<string, { format: string }> } };
  components: { schemas: Schemas };
  "x-errors": Record<string, number>;
  "x-close-codes": Record<string, { reason: string; comeBack: string }>;
}

const WIDTH = 110;

/** All schemas as TypeScript, each under its own name. */
async function types(schemas: Schemas): Promise<string> {
  // What the compiler is given has to be one schema. That schema's own type, the first, is of no use.
  const root = {
    anyOf: Object.keys(schemas).map(name => ({ $ref: `#/definitions/${name}` })),
    definitions: JSON.parse(JSON.stringify(schemas).replaceAll("#/components/schemas/", "#/definitions/"), readable),
  };
  const style = { printWidth: 118, bracketSpacing: true };
  const compiled = await compile(root, "Root", { additionalProperties: false, bannerComment: "", style });
  return compiled
    .slice(compiled.indexOf(";\n") + 2)
    .replaceAll(/^ \*\n(?: \* @\w+Items \d+\n)+/gm, "")
    .replaceAll(/^}\n(?=\/\*\*|export)/gm, "}\n\n");
}

/** A reviver: descriptions in lines; lists of any length, but for tuples: the node says when one is too long. */
function readable(key: string, value: unknown): unknown {
  if (key === "description" && typeof value === "string") return value.split("\n").map(wrapped).join("\n");
  if (typeof value !== "object" || value === null || !("items" in value) || Array.isArray(value.items)) return value;
  const { minItems: _least, maxItems: _most, ...list } = value as JSONSchema;
  return list;
}

function wrapped(line: string): string {
  return line.replaceAll(new RegExp(`(.{1,${WIDTH}})(?: +|$)`, "g"), "$1\n").trimEnd();
}

/** A constant with its doc comment, a row an entry. */
function table(doc: string, name: string, entries: Record<string, unknown>, type: string): string {
  const rows = Object.entries(entries).map(([key, value]) => `  ${key}: ${literal(value)},\n`);
  return `/** ${doc} */\nexport const ${name} = {\n${rows.join("")}} ${type};\n`;
}

function literal(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).map(([key, part]) => `${key}: ${literal(part)}`);
  return `{ ${fields.join(", ")} }`;
}

function union(words: Iterable<string>): string {
  return [...new Set(words)].map(word => JSON.stringify(word)).join(" | ");
}

async function protocol(document: Document): Promise<string> {
  const { info, channels, components, "x-errors": errors, "x-close-codes": closeCodes } = document;
  const subprotocols = Object.entries(channels.stream["x-subprotocols"]).map(([name, how]) => [how.format, name]);
  const comeBack = union(Object.values(closeCodes).map(code => code.comeBack));
  return [
    `// ${info.title}, version ${info.version}. Made by \`npm run types\` from wire/protocol.py: don't edit it.\n`,
    table("By format, the name that is asked for.", "SUBPROTOCOLS", Object.fromEntries(subprotocols), "as const"),
    "export type Format = keyof typeof SUBPROTOCOLS;\n",
    table("By reason, the number of an error.", "ERRORS", errors, "as const"),
    "export type Reason = keyof typeof ERRORS;\n",
    `/** What a close code means, and whether the client should come back. */\nexport interface Close {\n  reason: string;\n  comeBack: ${comeBack};\n}\n`,
    table("By close code.", "CLOSE_CODES", closeCodes, "as Record<number, Close>"),
    await types(components.schemas),
  ].join("\n");
}

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error("usage: node client/generate.ts FILE < DOCUMENT");
await writeFile(path, await protocol(JSON.parse(await text(process.stdin))));
