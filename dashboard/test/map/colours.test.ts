import assert from "node:assert/strict";
import { test } from "node:test";
import { STATUSES } from "../../src/fleet/vehicles.ts";
import { numberScale, type Rgb, rgb, statusScale } from "../../src/map/colours.ts";
import { COLOURS } from "../../src/map/shaders.ts";

/** Relative luminance, of WCAG. */
function luminance(colour: Rgb): number {
  const [r, g, b] = colour.map(part => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

test("hexadecimal", () => assert.deepEqual(rgb("#ff0033"), [1, 0, 0.2]));

test("each status has its colour", () => {
  for (const dark of [false, true]) {
    const { colours, low, high } = statusScale(dark);
    assert.equal(colours.length, STATUSES.length);
    assert.equal(high - low, STATUSES.length - 1);
    assert.equal(new Set(colours.map(String)).size, STATUSES.length);
  }
});

test("the scale of numbers grows lighter all the way, so that it needs no sense of colour", () => {
  const { colours } = numberScale([0, 10]);
  assert.ok(colours.length <= COLOURS);
  const lights = colours.map(luminance);
  for (let i = 1; i < lights.length; i++) assert.ok((lights[i] as number) > (lights[i - 1] as number) + 0.02);
});

test("a range of one value is still a range", () => {
  assert.deepEqual([numberScale([5, 5]).low, numberScale([5, 5]).high], [5, 6]);
  assert.deepEqual([numberScale().low, numberScale().high], [0, 1]);
});
