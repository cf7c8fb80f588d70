import { defineConfig } from "vite";

// The client as one file, for pages that are not built.
export default defineConfig({
  build: {
    outDir: "../../stream/page/client",
    emptyOutDir: true,
    target: "es2022",
    lib: { entry: "src/index.ts", formats: ["es"], fileName: "fleetwire" },
  },
  root: import.meta.dirname,
});
