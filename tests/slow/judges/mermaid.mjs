// Reads flowcharts by Mermaid itself: of each document its nodes, with labels and classes, and its arrows; or the error.
//
// node mermaid.mjs MODULES < a list of documents, as JSON
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules] = process.argv.slice(2);
const { JSDOM } = createRequire(modules + "/")("jsdom");
const { window } = new JSDOM("");
Object.assign(globalThis, { window, document: window.document });
const { default: mermaid } = await import(pathToFileURL(`${modules}/mermaid/dist/mermaid.core.mjs`));
mermaid.initialize({ startOnLoad: false });

// Its parser writes the entity #35; so, until the label is drawn.
const shown = (label) => label.replaceAll(/ﬂ°°(\d+)¶ß/g, (_, code) => String.fromCodePoint(Number(code)));

async function read(text) {
  try {
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
    const nodes = [...db.getVertices()].map(([id, { text: label, classes }]) => [id, { label: shown(label), classes }]);
    return { nodes: Object.fromEntries(nodes), arrows: db.getEdges().map(({ start, end }) => [start, end]) };
  } catch (error) {
    return { error: String(error) };
  }
}

const found = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  found.push(await read(text));
}
process.stdout.write(JSON.stringify(found));
