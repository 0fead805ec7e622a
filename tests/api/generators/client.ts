// Submits a song by the types that openapi-typescript makes.
import createClient from "openapi-fetch";
import type { components, paths } from "./songmill.js";

declare const process: { env: Record<string, string> };

function demand(fits: boolean, what: unknown): void {
  if (!fits) throw new Error(JSON.stringify(what));
}

const client = createClient<paths>({
  baseUrl: process.env.SERVER,
  headers: { authorization: `Bearer ${process.env.KEY}` },
});
const song: components["schemas"]["SongRequest"] = {
  vendor: "replicate",
  prompt: "a calm piano",
  duration_s: 4,
  title: "by openapi-typescript",
  options: { replicate: {} },
};

const made = await client.POST("/v1/jobs", { params: { query: { batch: "typescript" } }, body: song });
if (!made.data) throw new Error(JSON.stringify(made.error));
const state: components["schemas"]["StateName"] = made.data.state;
demand(state.length > 0, made.data);

const shown = await client.GET("/v1/jobs/{id}", { params: { path: { id: made.data.id } } });
demand(shown.data?.request.title === song.title, shown);
const listed = await client.GET("/v1/jobs", { params: { query: { batch: "typescript" } } });
demand(listed.data?.data.length === 1, listed);

const refused = await client.POST("/v1/jobs", { body: { vendor: ["nobody"], prompt: "a calm piano" } });
demand(refused.error?.code === "invalid" && refused.error.errors?.[0].pointer === "/vendor", refused);
console.log(`generators: openapi-typescript submitted ${made.data.id}`);
