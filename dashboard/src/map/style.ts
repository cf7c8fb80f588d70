/** A map that needs no internet: land and borders, and the streets that the node serves. */

import type { FeatureCollection } from "geojson";
import type { GeoJSONSource, LayerSpecification, Map as MapLibre, StyleSpecification } from "maplibre-gl";
import { feature, mesh } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import atlas from "world-atlas/countries-50m.json?url";
import { unwrapped } from "./unwrap.ts";

type Atlas = Topology<{ countries: GeometryCollection; land: GeometryCollection }>;

const NOTHING: FeatureCollection = { type: "FeatureCollection", features: [] };
const STREETS = "v1/map/layer";

interface Paints {
  sea: string;
  land: string;
  coast: string;
  border: string;
  grid: string;
  casing: string;
  street: string;
  area: string;
}

const LIGHT: Paints = {
  sea: "#dbe6ee",
  land: "#efeee9",
  coast: "#b5c7d3",
  border: "#bdb8ab",
  grid: "#cfdce5",
  casing: "#d5d0c3",
  street: "#ffffff",
  area: "#e5e2d8",
};

const DARK: Paints = {
  sea: "#0b1117",
  land: "#151d26",
  coast: "#2c3d4c",
  border: "#33414f",
  grid: "#131c25",
  casing: "#10161d",
  street: "#2f3d4b",
  area: "#1a2430",
};

/** Our own style, dark or light; `fill` brings what it shows. */
export function ownStyle(dark: boolean): StyleSpecification {
  const data = (name: string) => [name, { type: "geojson", data: NOTHING, maxzoom: 7 }] as const;
  return {
    version: 8,
    sources: Object.fromEntries(["grid", "land", "borders", "streets"].map(data)),
    layers: layers(dark ? DARK : LIGHT),
  };
}

function layers(paint: Paints): LayerSpecification[] {
  const width = (thin: number, wide: number): ["interpolate", ["exponential", 1.6], ["zoom"], ...number[]] => [
    "interpolate",
    ["exponential", 1.6],
    ["zoom"],
    11,
    thin,
    18,
    wide,
  ];
  const round = { "line-cap": "round", "line-join": "round" } as const;
  const streets = ["==", ["geometry-type"], "LineString"] as ["==", ["geometry-type"], string];
  const areas = ["==", ["geometry-type"], "Polygon"] as ["==", ["geometry-type"], string];
  return [
    { id: "sea", type: "background", paint: { "background-color": paint.sea } },
    { id: "grid", type: "line", source: "grid", maxzoom: 8, paint: { "line-color": paint.grid } },
    { id: "land", type: "fill", source: "land", paint: { "fill-color": paint.land, "fill-antialias": false } },
    { id: "coast", type: "line", source: "land", maxzoom: 11, paint: { "line-color": paint.coast } },
    {
      id: "borders",
      type: "line",
      source: "borders",
      paint: { "line-color": paint.border, "line-dasharray": [4, 2] },
    },
    { id: "areas", type: "fill", source: "streets", filter: areas, paint: { "fill-color": paint.area } },
    {
      id: "casings",
      type: "line",
      source: "streets",
      filter: streets,
      minzoom: 12,
      layout: round,
      paint: { "line-color": paint.casing, "line-width": width(1.5, 30) },
    },
    {
      id: "streets",
      type: "line",
      source: "streets",
      filter: streets,
      minzoom: 8,
      layout: round,
      paint: { "line-color": paint.street, "line-width": width(0.8, 25) },
    },
  ] as LayerSpecification[];
}

/** Put the colours of dark or light in, without anything being loaded anew. */
export function recolour(map: MapLibre, dark: boolean): void {
  for (const { id, paint } of layers(dark ? DARK : LIGHT))
    for (const [property, value] of Object.entries(paint ?? {}))
      if (property.endsWith("-color")) map.setPaintProperty(id, property as "line-color", value);
}

/** Fetch what the style shows. The streets are there if the node has any. */
export async function fill(map: MapLibre): Promise<void> {
  const put = (name: string, data: Parameters<GeoJSONSource["setData"]>[0]) =>
    map.getSource<GeoJSONSource>(name)?.setData(data);
  const world = fetch(atlas); // it is under way while the streets come first: they are few, and near
  const streets = await fetch(STREETS);
  if (streets.ok) put("streets", await streets.json());
  const topology = (await (await world).json()) as Atlas;
  const land = feature(topology, topology.objects.land).features.map(({ geometry }) => geometry);
  const shapes = land.filter(shape => shape.type === "Polygon" || shape.type === "MultiPolygon").map(unwrapped);
  put("land", { type: "GeometryCollection", geometries: shapes });
  put(
    "borders",
    mesh(topology, topology.objects.countries, (a, b) => a !== b),
  );
  put("grid", graticule());
}

/** Meridians and parallels, every 15 degrees. */
export function graticule(): FeatureCollection {
  const steps = (from: number, to: number) => Array.from({ length: (to - from) / 15 + 1 }, (_, i) => from + i * 15);
  const lines = [
    ...steps(-180, 180).map(x => [
      [x, -85],
      [x, 85],
    ]),
    ...steps(-75, 75).map(y => [
      [-180, y],
      [180, y],
    ]),
  ];
  return {
    type: "FeatureCollection",
    features: lines.map(coordinates => ({
      type: "Feature",
      properties: {},
      geometry: { type: "LineString", coordinates },
    })),
  };
}
