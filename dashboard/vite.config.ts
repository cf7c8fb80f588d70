import { defineConfig } from "vite";

// The page is built into the Python package that serves it; `npm run dev` shows it beside a node that runs already.
export default defineConfig({
  base: "./",
  build: { outDir: "../stream/page", emptyOutDir: true, target: "es2022", chunkSizeWarningLimit: 2_000 },
  server: { proxy: { "/v1": { target: process.env.FLEETWIRE_URL ?? "http://127.0.0.1:8000", ws: true } } },
});
