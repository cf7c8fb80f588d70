/** The few things of WebGL2 that a layer of instanced quads needs. */

/** A linked program. Throws what the compiler says. */
export function program(gl: WebGL2RenderingContext, vertex: string, fragment: string): WebGLProgram {
  const made = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment],
  ] as const) {
    const shader = gl.createShader(type) as WebGLShader;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost())
    throw new Error(gl.getProgramInfoLog(made) ?? "no program");
  return made;
}

/** Where the uniforms of a program are, by name. */
export function uniforms<Name extends string>(
  gl: WebGL2RenderingContext,
  from: WebGLProgram,
  names: readonly Name[],
): Record<Name, WebGLUniformLocation | null> {
  const found = names.map(name => [name, gl.getUniformLocation(from, name)] as const);
  return Object.fromEntries(found) as Record<Name, WebGLUniformLocation | null>;
}

/** `matrix` (4 × 4, by columns) after a move to (x, y): computed in 64 bits, as the card's 32 are too few. */
export function moved(matrix: ArrayLike<number>, x: number, y: number): Float32Array {
  const out = new Float32Array(16);
  for (let row = 0; row < 4; row++) {
    const [a, b, c, d] = [row, row + 4, row + 8, row + 12].map(at => matrix[at] as number) as [
      number,
      number,
      number,
      number,
    ];
    out[row] = a;
    out[row + 4] = b;
    out[row + 8] = c;
    out[row + 12] = a * x + b * y + d;
  }
  return out;
}
