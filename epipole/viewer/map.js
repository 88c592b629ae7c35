// Draws points or a surface on a plain 2-D canvas (own z-buffer, eye-dome shading): needs neither WebGL nor a library.
(() => {
  const island = document.getElementById("map-data");
  if (!island) return;
  const data = JSON.parse(island.textContent);
  const bytes = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
  const words = (s) => new Uint16Array(bytes(s).buffer);
  const places = ({ low, step, points }) => Float32Array.from(words(points), (v, i) => low[i % 3] + step[i % 3] * v);
  const xyz = places(data.cloud), rgb = bytes(data.cloud.colours), count = xyz.length / 3;
  const surface = data.surface && { corners: places(data.surface), tints: bytes(data.surface.colours), faces: words(data.surface.faces) };
  const seen = surface && { u: new Float32Array(surface.corners.length / 3), v: new Float32Array(surface.corners.length / 3),
    near: new Float32Array(surface.corners.length / 3) };

  const canvas = document.querySelector(".stage canvas"), pen = canvas.getContext("2d");
  const buttons = (name) => [...document.querySelectorAll(`[data-${name}]`)];
  const press = (name, chosen) => buttons(name).forEach((b) => b.setAttribute("aria-pressed", b.dataset[name] === chosen));
  let width = 0, height = 0, image, pixels, depth, waiting = false, current = 0;
  let view = { ...data.home }, mode = "orbit", solid = !!surface;

  function lens() {  // rows of the rotation world -> view (x right, y down, z forward), the eye, the focal length in pixels
    if (mode === "camera") {
      const p = data.poses[current];
      return { R: [[p[0], p[4], p[8]], [p[1], p[5], p[9]], [p[2], p[6], p[10]]], eye: [p[3], p[7], p[11]],
        focal: Math.min(width / 2 / data.half, height / 2 / (data.half * data.aspect)) };
    }
    const [c, s, d, e] = [Math.cos(view.yaw), Math.sin(view.yaw), Math.cos(view.pitch), Math.sin(view.pitch)];
    const forward = [s * d, e, c * d], right = [c, 0, -s];  // the world's y axis points down
    const down = [-s * e, d, -c * e];
    return { R: [right, down, forward], eye: view.centre.map((v, k) => v - view.distance * forward[k]), focal: height };
  }

  const closest = () => mode === "camera" ? 0.01 * data.radius : 0.03 * view.distance;

  function splat({ R, eye, focal }) {
    const size = focal * data.radius * 1.8 / Math.sqrt(count), nearest = closest();
    for (let i = 0, k = 0; i < count; i++, k += 3) {
      const x = xyz[k] - eye[0], y = xyz[k + 1] - eye[1], z = xyz[k + 2] - eye[2];
      const w = R[2][0] * x + R[2][1] * y + R[2][2] * z;
      if (w < nearest) continue;
      const u = width / 2 + focal * (R[0][0] * x + R[0][1] * y + R[0][2] * z) / w;
      const v = height / 2 + focal * (R[1][0] * x + R[1][1] * y + R[1][2] * z) / w;
      const half = Math.min(Math.max(size / w, 0.8), 7);
      const left = Math.max(0, Math.round(u - half)), right = Math.min(width - 1, Math.round(u + half) - 1);
      const top = Math.max(0, Math.round(v - half)), bottom = Math.min(height - 1, Math.round(v + half) - 1);
      const colour = 0xff000000 | rgb[k + 2] << 16 | rgb[k + 1] << 8 | rgb[k];
      for (let b = top; b <= bottom; b++) for (let a = left, j = b * width + left; a <= right; a++, j++)
        if (w < depth[j]) { depth[j] = w; pixels[j] = colour; }
    }
  }

  function fill({ R, eye, focal }) {  // colours and inverse depth are linear over a triangle of the picture
    const { corners, tints, faces } = surface, { u, v, near } = seen, nearest = closest();
    for (let i = 0, k = 0; i < near.length; i++, k += 3) {
      const x = corners[k] - eye[0], y = corners[k + 1] - eye[1], z = corners[k + 2] - eye[2];
      const w = R[2][0] * x + R[2][1] * y + R[2][2] * z;
      near[i] = w < nearest ? 0 : 1 / w;
      u[i] = width / 2 + focal * (R[0][0] * x + R[0][1] * y + R[0][2] * z) / w;
      v[i] = height / 2 + focal * (R[1][0] * x + R[1][1] * y + R[1][2] * z) / w;
    }
    for (let f = 0; f < faces.length; f += 3) {
      const a = faces[f], b = faces[f + 1], c = faces[f + 2];
      if (!near[a] || !near[b] || !near[c]) continue;
      const left = Math.max(0, Math.ceil(Math.min(u[a], u[b], u[c]))), right = Math.min(width - 1, Math.max(u[a], u[b], u[c]));
      const top = Math.max(0, Math.ceil(Math.min(v[a], v[b], v[c]))), bottom = Math.min(height - 1, Math.max(v[a], v[b], v[c]));
      const twice = (u[b] - u[a]) * (v[c] - v[a]) - (u[c] - u[a]) * (v[b] - v[a]);
      if (left > right || top > bottom || Math.abs(twice) < 1e-9) continue;
      for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) {
        const q = ((x - u[a]) * (v[c] - v[a]) - (u[c] - u[a]) * (y - v[a])) / twice;
        const r = ((u[b] - u[a]) * (y - v[a]) - (x - u[a]) * (v[b] - v[a])) / twice, p = 1 - q - r;
        if (p < 0 || q < 0 || r < 0) continue;
        const w = 1 / (p * near[a] + q * near[b] + r * near[c]), j = y * width + x;
        if (w >= depth[j]) continue;
        const tint = (k) => p * tints[3 * a + k] + q * tints[3 * b + k] + r * tints[3 * c + k];
        depth[j] = w; pixels[j] = 0xff000000 | tint(2) << 16 | tint(1) << 8 | tint(0);
      }
    }
  }

  function shade() {  // Boucheny 2009: a pixel that lies behind its neighbours is darker
    const reach = Math.max(1, Math.round(height / 400)), logs = depth;
    for (let j = 0; j < logs.length; j++) logs[j] = Math.log2(logs[j]);
    for (let v = reach; v < height - reach; v++) for (let u = reach, j = v * width + reach; u < width - reach; u++, j++) {
      const own = logs[j];
      if (own === Infinity) continue;
      const behind = Math.max(0, own - logs[j - reach]) + Math.max(0, own - logs[j + reach])
        + Math.max(0, own - logs[j - reach * width]) + Math.max(0, own - logs[j + reach * width]);
      const light = Math.max(0.35, Math.exp(-3 * Math.max(0, behind - 0.02))), p = pixels[j];
      pixels[j] = 0xff000000 | (p >> 16 & 255) * light << 16 | (p >> 8 & 255) * light << 8 | (p & 255) * light;
    }
  }

  function strokes({ R, eye, focal }) {
    const place = (p) => {
      const [x, y, z] = [p[0] - eye[0], p[1] - eye[1], p[2] - eye[2]];
      const w = R[2][0] * x + R[2][1] * y + R[2][2] * z;
      return w < 0.01 * data.radius ? null : [width / 2 + focal * (R[0][0] * x + R[0][1] * y + R[0][2] * z) / w,
        height / 2 + focal * (R[1][0] * x + R[1][1] * y + R[1][2] * z) / w];
    };
    const line = (points, style, thick) => {
      pen.strokeStyle = style; pen.lineWidth = thick * height / 500; pen.beginPath();
      let open = false;
      for (const p of points.map(place)) { if (p) pen[open ? "lineTo" : "moveTo"](...p); open = !!p; }
      pen.stroke();
    };
    const frustum = (p, size, style, thick) => {
      const corner = (a, b) => [0, 4, 8].map((r) => p[r + 3] + size * (p[r] * a * data.half
        + p[r + 1] * b * data.half * data.aspect + p[r + 2]));
      const c = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)], o = [p[3], p[7], p[11]];
      line([c[0], c[1], c[2], c[3], c[0], o, c[1]], style, thick); line([c[2], o, c[3]], style, thick);
    };
    line(data.poses.map((p) => [p[3], p[7], p[11]]), "#6aa5ec", 1.8);
    const stride = Math.max(1, Math.floor(data.poses.length / 14));
    for (let i = 0; i < data.poses.length; i += stride) frustum(data.poses[i], 0.07 * data.radius, "rgba(170,200,240,.55)", 1);
    frustum(data.poses[current], 0.12 * data.radius, "#ff6f61", 2);
  }

  function draw() {
    waiting = false;
    const ratio = Math.min(devicePixelRatio || 1, 1.5);
    const w = Math.round(canvas.clientWidth * ratio), h = Math.round(canvas.clientHeight * ratio);
    if (!w || !h) return;
    if (w !== width || h !== height) {
      [width, height] = [canvas.width, canvas.height] = [w, h];
      image = pen.createImageData(w, h); pixels = new Uint32Array(image.data.buffer); depth = new Float32Array(w * h);
    }
    const eye = lens();
    pixels.fill(0xff1a1614); depth.fill(Infinity);
    if (solid) fill(eye); else splat(eye);
    shade();
    pen.putImageData(image, 0, 0);
    if (mode !== "camera") strokes(eye);
  }
  const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };

  function choose(name) {
    mode = name === "camera" ? "camera" : "orbit";
    if (name === "orbit") view = { ...data.home };
    if (name === "top") view = { ...data.home, yaw: 0, pitch: Math.PI / 2 };
    press("view", name);
    redraw();
  }
  function show(name) { solid = name === "surface"; press("show", name); redraw(); }
  buttons("view").forEach((b) => b.addEventListener("click", () => choose(b.dataset.view)));
  buttons("show").forEach((b) => b.addEventListener("click", () => show(b.dataset.show)));
  const zoom = (factor) => { view.distance = Math.min(Math.max(view.distance * factor, 0.05 * data.radius), 12 * data.radius); };
  const turn = (du, dv) => { view.yaw += du; view.pitch = Math.min(Math.max(view.pitch + dv, -Math.PI / 2), Math.PI / 2); };
  function slide(du, dv) {
    const { R } = lens(), step = view.distance / canvas.clientHeight;
    view.centre = view.centre.map((v, k) => v - step * (du * R[0][k] + dv * R[1][k]));
  }
  const orbit = () => { if (mode === "camera") choose("orbit"); };

  const touches = new Map();
  canvas.addEventListener("pointerdown", (e) => { touches.set(e.pointerId, e); canvas.setPointerCapture(e.pointerId); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (e) => touches.delete(e.pointerId));
  canvas.addEventListener("pointermove", (e) => {
    const before = touches.get(e.pointerId);
    if (!before) return;
    orbit();
    const du = e.clientX - before.clientX, dv = e.clientY - before.clientY;
    if (touches.size === 2) {
      const other = [...touches.values()].find((t) => t.pointerId !== e.pointerId);
      const span = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY);
      zoom(span(before) / Math.max(span(e), 1)); slide(du / 2, dv / 2);
    } else if (e.shiftKey || before.buttons === 2) slide(du, dv); else turn(du * 0.006, dv * 0.006);
    touches.set(e.pointerId, e);
    redraw();
  });
  canvas.addEventListener("contextmenu", (e) => e.preventDefault());
  canvas.addEventListener("wheel", (e) => {
    if (document.activeElement !== canvas && !e.ctrlKey) return;  // the page scrolls on over a map nobody has touched
    e.preventDefault(); orbit(); zoom(Math.exp(0.0012 * e.deltaY)); redraw();
  }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const moves = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    if (moves[e.key]) turn(...moves[e.key]); else if (e.key === "+") zoom(0.9); else if (e.key === "-") zoom(1.1); else return;
    e.preventDefault(); redraw();
  });
  document.addEventListener("frame", (e) => {
    current = data.frames.reduce((a, f, i) => Math.abs(f - e.detail) < Math.abs(data.frames[a] - e.detail) ? i : a, 0);
    redraw();
  });
  new ResizeObserver(redraw).observe(canvas);
  choose("orbit");
  if (surface) show("surface");
})();
