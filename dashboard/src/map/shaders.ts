/** A vehicle as the graphics card draws it: a disc with a nose where it heads, on its way between two readings. */

export const COLOURS = 8; // as many as a scale may have

export const VERTEX = `#version 300 es
precision highp float;
in vec2 corner;
in vec4 way;      // from x, y, to x, y
in vec4 course;   // start, duration, from heading, to heading
in vec2 look;     // tint, weight
uniform mat4 matrix;
uniform vec2 viewport;
uniform vec2 radius;    // px: of a vehicle, and what is added to this one
uniform float now;
uniform float bearing;
uniform int kinds;
uniform vec2 range;
uniform int count;
uniform vec3 colours[${COLOURS}];
uniform vec3 none;
out vec2 place;
out float px;
flat out vec3 fill;
flat out float weight;
flat out float nose;
flat out float hollow;

vec3 colourOf(float tint) {
  if (tint < -1e29) return none;
  float at = clamp((tint - range.x) / (range.y - range.x), 0.0, 1.0) * float(count - 1);
  int low = int(floor(at));
  return mix(colours[low], colours[min(low + 1, count - 1)], at - float(low));
}

void main() {
  float t = course.y > 0.0 ? clamp((now - course.x) / course.y, 0.0, 1.0) : 1.0;
  nose = course.w > -1e29 ? 1.0 : 0.0;
  float turn = mod(course.w - course.z + 540.0, 360.0) - 180.0;
  float heading = radians(course.z + turn * t - bearing) * nose;
  px = radius.x + radius.y;
  float size = px * 1.7 + 6.0;    // room for the nose, the rim and a halo
  mat2 rotate = mat2(cos(heading), -sin(heading), sin(heading), cos(heading));
  place = corner * size / px;
  vec4 centre = matrix * vec4(mix(way.xy, way.zw, t), 0.0, 1.0);
  vec2 offset = rotate * (corner * size) * 2.0 / viewport;
  gl_Position = look.y > 0.0 ? centre + vec4(offset * centre.w, 0.0, 0.0) : vec4(2.0, 2.0, 2.0, 1.0);
  fill = colourOf(look.x);
  weight = look.y;
  hollow = kinds == 1 && look.x > 0.5 ? 1.0 : 0.0;
}
`;

export const FRAGMENT = `#version 300 es
precision highp float;
in vec2 place;    // in radii of the disc
in float px;
flat in vec3 fill;
flat in float weight;
flat in float nose;
flat in float hollow;
uniform vec3 rim;
uniform vec4 halo;      // colour and strength around one that is pointed at or chosen
out vec4 fragColor;

// How far outside of the shape, in radii: a disc, and the two tangents from a tip ahead of it.
float outside(vec2 p) {
  const float tip = 1.62;
  const vec2 normal = vec2(sqrt(1.0 - 1.0 / (tip * tip)), 1.0 / tip);
  p.x = abs(p.x);
  bool ahead = nose > 0.5 && p.x * normal.y < p.y * normal.x;
  return ahead ? dot(p, normal) - 1.0 : length(p) - 1.0;
}

void main() {
  float distance = outside(place) * px;
  float body = clamp(0.5 - distance, 0.0, 1.0);
  float edge = clamp(2.0 - distance, 0.0, 1.0);
  float core = hollow * clamp(0.5 - (length(place) * px - px * 0.5), 0.0, 1.0);
  vec3 colour = mix(rim, fill, body * (1.0 - core));
  float ring = halo.a * clamp(5.5 - distance, 0.0, 1.0) * (1.0 - edge);
  fragColor = vec4(colour * edge + halo.rgb * ring, edge + ring) * weight;
}
`;
