// Scrubs footage, depth and uncertainty together, with marks over them; tells the other panels which frame is shown ("frame" event).
(() => {
  const island = document.getElementById("player-data");
  if (!island) return;
  const data = JSON.parse(island.textContent);
  const player = document.querySelector(".player");
  const slider = player.querySelector("input[type=range]"), play = player.querySelector(".play"), clock = player.querySelector(".clock");
  const figures = [...player.querySelectorAll("figure")];

  const layers = data.layers.map((layer, k) => {
    const canvas = figures[k].querySelector("canvas");
    const lookup = layer.lookup && new Map(layer.lookup.table.map((hex, step) => [hex, step]));
    return { ...layer, lookup: layer.lookup, steps: lookup, canvas, readout: figures[k].querySelector("output"),
      pen: canvas.getContext("2d", { willReadFrequently: true }), images: new Array(layer.pictures.length), wanted: null };
  });

  function draw(layer, index) {
    const source = layer.pictures[index];
    if (!source) return;
    let image = layer.images[index];
    if (!image) { image = layer.images[index] = new Image(); image.src = source; }
    layer.wanted = image;
    const show = () => {
      if (layer.wanted !== image) return;  // the reader has scrubbed on
      if (layer.canvas.width !== image.naturalWidth || layer.canvas.height !== image.naturalHeight) {
        layer.canvas.width = image.naturalWidth; layer.canvas.height = image.naturalHeight;
      }
      layer.pen.drawImage(image, 0, 0);
      read(layer);
    };
    if (image.complete && image.naturalWidth) show(); else image.onload = show;
  }

  const format = (v) => v >= 100 ? v.toFixed(0) : v.toPrecision(3);
  function read(layer) {  // from the colour under the pointer back to its value
    if (!layer.at) { layer.readout.textContent = ""; return; }
    const box = layer.canvas.getBoundingClientRect();
    const u = Math.floor((layer.at.x - box.left) / box.width * layer.canvas.width);
    const v = Math.floor((layer.at.y - box.top) / box.height * layer.canvas.height);
    const [r, g, b] = layer.pen.getImageData(u, v, 1, 1).data;
    const step = layer.steps.get([r, g, b].map((c) => c.toString(16).padStart(2, "0")).join(""));
    if (step === undefined) { layer.readout.textContent = "unknown"; return; }
    const { low, high, kind, unit } = layer.lookup, value = low + (high - low) * step / 255;
    const bound = { depth: ["≥ ", "≤ "], deviation: ["≤ ", "≥ "] }[kind][step === 0 ? 0 : 1];
    const sign = step === 0 || step === 255 ? bound : "";
    layer.readout.textContent = kind === "depth" ? `z ${sign}${format(1 / value)}${unit === "m" ? " m" : ""}`
      : `${sign}${format(100 * Math.exp(value / 2))} %`;
  }
  for (const layer of layers.filter((l) => l.steps)) {
    layer.canvas.addEventListener("pointermove", (e) => { layer.at = { x: e.clientX, y: e.clientY }; read(layer); });
    layer.canvas.addEventListener("pointerleave", () => { layer.at = null; read(layer); });
  }

  const switches = [...player.querySelectorAll(".mark")];
  const marks = data.marks.map((mark, k) => {
    const over = figures.map((figure) => figure.appendChild(new Image()));
    const box = switches[k].querySelector("input");
    box.addEventListener("change", () => lay(marks[k], +slider.value));
    return { ...mark, box, over, readout: switches[k].querySelector("output") };
  });
  function lay(mark, index) {
    const source = mark.pictures[index], percent = mark.percent[index];
    for (const image of mark.over) {
      image.hidden = !mark.box.checked || !source;
      if (!image.hidden) image.src = source;
    }
    mark.readout.textContent = percent === null ? "not a key frame" : `${percent} %`;
  }

  function show(index) {
    const frame = data.frames[index];
    layers.forEach((layer) => draw(layer, index));
    marks.forEach((mark) => lay(mark, index));
    const seconds = data.fps ? ` · ${(frame / data.fps).toFixed(1)} s` : "";
    clock.textContent = `frame ${frame}${seconds}${data.notes[index] ? " · " + data.notes[index] : ""}`;
    document.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }
  slider.addEventListener("input", () => show(+slider.value));

  let timer = null;
  function stop() { clearTimeout(timer); timer = null; play.textContent = "Play"; }
  function tick() {
    const index = (+slider.value + 1) % data.frames.length, gap = data.frames[index] - data.frames[slider.value];
    slider.value = index;
    show(index);
    const pause = data.fps && gap > 0 ? 1000 * gap / data.fps : 100;  // in the pace of the clip, within reason
    timer = setTimeout(tick, Math.min(Math.max(pause, 40), 250));
  }
  play.addEventListener("click", () => { if (timer) stop(); else { play.textContent = "Pause"; tick(); } });

  const tracks = [...document.querySelectorAll("svg.path")].map((svg) =>
    ({ dot: svg.querySelector(".here"), spots: JSON.parse(svg.dataset.track) }));
  document.addEventListener("frame", (e) => tracks.forEach(({ dot, spots }) => {
    const near = spots.reduce((a, b) => Math.abs(b[0] - e.detail) < Math.abs(a[0] - e.detail) ? b : a);
    dot.setAttribute("cx", near[1]); dot.setAttribute("cy", near[2]);
  }));
  addEventListener("load", () => show(0));
})();
