"use strict";
// Draws the map of a report on a canvas in place of the picture that a page without scripts has.
(() => {
  const get = id => document.getElementById(id);
  const data = JSON.parse(get("map-data").textContent);
  const figure = get("map-figure"), canvas = get("map-canvas"), pen = canvas.getContext("2d");
  const tip = get("map-tip"), state = { plane: 0, column: data.color, scale: 1, x: 0, y: 0 };
  const count = data.ids.length, chosen = new Set();
  let width = 0, height = 0, hovered = -1, drag = null, lasso = [], focused = false, queued = false;

  const plane = () => data.planes[state.plane];
  const column = () => data.columns[state.column];
  const theme = name => getComputedStyle(figure).getPropertyValue(name).trim();

  const mix = place => {  // colour at 0 to 100 of the scale of numbers
    const at = place / 100 * (data.ramp.length - 1), i = Math.min(Math.floor(at), data.ramp.length - 2);
    const part = (hex, c) => parseInt(hex.slice(1 + 2 * c, 3 + 2 * c), 16), f = at - i;
    const rgb = [0, 1, 2].map(c => Math.round((1 - f) * part(data.ramp[i], c) + f * part(data.ramp[i + 1], c)));
    return `rgb(${rgb})`;
  };
  const colorOf = i => {
    const own = column();
    if (own.levels) return own.levels[own.codes[i]][1];
    return own.places[i] < 0 ? data.missing : mix(own.places[i]);
  };
  const textOf = (own, i) => own.text ? own.text[i] : own.levels[own.codes[i]][0];

  // map coordinates run from 0 to 10,000 on the longer side
  const unit = () => Math.min((width - 32) / plane().extent[0], (height - 32) / plane().extent[1]);
  const toScreen = i => {
    const p = plane(), u = unit() * state.scale;
    return [width / 2 + state.x + (p.x[i] - p.extent[0] / 2) * u,
      height / 2 + state.y - (p.y[i] - p.extent[1] / 2) * u];
  };
  const radius = () => Math.max(2.5, Math.min(6, 95 / Math.sqrt(count))) * Math.min(2, Math.sqrt(state.scale));

  function point(i, r, held) {
    const [x, y] = toScreen(i);
    pen.beginPath();
    if (held) {
      pen.moveTo(x, y - 1.25 * r); pen.lineTo(x + 1.25 * r, y); pen.lineTo(x, y + 1.25 * r);
      pen.lineTo(x - 1.25 * r, y); pen.closePath();
    } else pen.arc(x, y, r, 0, 2 * Math.PI);
  }
  function region(i) {
    const own = plane().regions && plane().regions[i];
    if (!own) return;
    const [x, y] = toScreen(i), u = unit() * state.scale;
    pen.beginPath();
    pen.ellipse(x, y, own[0] * u, own[1] * u, -own[2] * Math.PI / 180, 0, 2 * Math.PI);
    pen.strokeStyle = colorOf(i); pen.lineWidth = 1.5; pen.stroke();
    pen.globalAlpha = 0.15; pen.fillStyle = colorOf(i); pen.fill(); pen.globalAlpha = 1;
  }
  function draw() {
    queued = false;
    const ratio = window.devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const r = radius(), ink = theme("--ink");
    if (hovered >= 0) region(hovered);
    pen.globalAlpha = 0.85;
    for (let i = 0; i < count; i++) {
      if (chosen.size) pen.globalAlpha = chosen.has(i) ? 1 : 0.2;
      pen.fillStyle = colorOf(i);
      const held = data.held && data.held[i];
      point(i, r, held);
      pen.fill();
      if (held) { pen.strokeStyle = ink; pen.lineWidth = 1; pen.stroke(); }
    }
    pen.globalAlpha = 1;
    if (hovered >= 0) {
      pen.strokeStyle = ink; pen.lineWidth = 2;
      point(hovered, r + 3, data.held && data.held[hovered]); pen.stroke();
    }
    if (lasso.length > 1) {
      pen.strokeStyle = theme("--accent"); pen.lineWidth = 1.5; pen.setLineDash([5, 4]);
      pen.beginPath(); lasso.forEach(([x, y], k) => k ? pen.lineTo(x, y) : pen.moveTo(x, y));
      pen.closePath(); pen.stroke(); pen.setLineDash([]);
    }
    publish();
  }
  // the tests of the page, and whoever drives it, place the pointer by these
  const publish = () => Object.assign(canvas.dataset, { scale: state.scale, colour: column().name });
  const redraw = () => { if (!queued) { queued = true; requestAnimationFrame(draw); } };

  function resize() {
    const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    if (!box.width) return;
    width = box.width; height = box.height;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    draw();
  }

  function zoom(factor, x = width / 2, y = height / 2) {
    const scale = Math.max(0.5, Math.min(200, state.scale * factor)), f = scale / state.scale;
    state.x = (x - width / 2) - f * (x - width / 2 - state.x);
    state.y = (y - height / 2) - f * (y - height / 2 - state.y);
    state.scale = scale;
    hide(); redraw();
  }

  function nearest(x, y) {
    let best = -1, least = 14 ** 2;
    for (let i = 0; i < count; i++) {
      const [a, b] = toScreen(i), d = (a - x) ** 2 + (b - y) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }
  function hide() { hovered = -1; tip.hidden = true; }
  function show(x, y) {
    const i = nearest(x, y);
    if (i === hovered) return;
    if (i < 0) { hide(); redraw(); return; }
    hovered = i;
    tip.replaceChildren();
    const head = document.createElement("strong");
    head.textContent = data.ids[i];
    tip.append(head, line(`${data.sizes[i].toLocaleString("en")} atoms`));
    if (data.held) tip.append(line(data.held[i] ? "held out" : "in the training"));
    for (const own of data.columns) if (!own.size) tip.append(line(`${own.name}: ${textOf(own, i)}`));
    tip.hidden = false;
    const [a, b] = toScreen(i), left = Math.min(a + 14, width - tip.offsetWidth - 4);
    const below = b + 14 + tip.offsetHeight < height;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, below ? b + 14 : b - 14 - tip.offsetHeight)}px`;
    redraw();
  }
  function line(text) {
    const element = document.createElement("span");
    element.textContent = text;
    return element;
  }

  function legend() {
    const own = column(), place = get("map-legend"), list = document.createElement("ul");
    place.replaceChildren();
    const head = document.createElement("h3");
    head.textContent = own.name;
    place.append(head);
    if (own.range) {
      const bar = document.createElement("div"), ends = document.createElement("p");
      bar.className = "scale"; ends.className = "ends";
      bar.style.background = `linear-gradient(to right, ${data.ramp.join(", ")})`;
      ends.append(...own.range.map(line));
      place.append(bar, ends);
    }
    for (const [label, color, sets] of own.levels || own.none) {
      const item = document.createElement("li"), dot = document.createElement("span");
      const number = line(` ${sets}`);
      dot.className = "dot"; dot.style.background = color; number.className = "count";
      item.append(dot, label, number);
      list.append(item);
    }
    place.append(list);
  }

  function inside(x, y) {
    let odd = false;
    for (let i = 0, j = lasso.length - 1; i < lasso.length; j = i++) {
      const [ax, ay] = lasso[i], [bx, by] = lasso[j];
      if ((ay > y) !== (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax) odd = !odd;
    }
    return odd;
  }
  function choose() {
    chosen.clear();
    if (lasso.length > 2) for (let i = 0; i < count; i++) if (inside(...toScreen(i))) chosen.add(i);
    lasso = [];
    get("map-ids").value = [...chosen].map(i => data.ids[i]).join("\n");
    get("map-count").textContent = chosen.size === 1 ? "1 set" : `${chosen.size} sets`;
    get("map-chosen").hidden = !chosen.size;
    redraw();
  }

  const lassoing = () => get("map-lasso").getAttribute("aria-pressed") === "true";
  const at = event => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", event => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    drag = at(event);
    if (lassoing()) { lasso = [drag]; hide(); }
  });
  canvas.addEventListener("pointermove", event => {
    const [x, y] = at(event);
    if (!drag) { show(x, y); return; }
    if (lassoing()) lasso.push([x, y]);
    else {
      state.x += x - drag[0]; state.y += y - drag[1]; drag = [x, y];
      hide();
    }
    redraw();
  });
  canvas.addEventListener("pointerup", event => {
    if (drag && lassoing()) choose(); else show(...at(event));
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => { drag = null; lasso = []; redraw(); });
  canvas.addEventListener("pointerleave", () => { if (!drag) { hide(); redraw(); } });
  canvas.addEventListener("focus", () => { focused = true; });
  canvas.addEventListener("blur", () => { focused = false; });
  canvas.addEventListener("wheel", event => {
    if (!focused && !event.ctrlKey && !event.metaKey) return;  // the page scrolls
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...at(event));
  }, { passive: false });
  const reset = () => { Object.assign(state, { scale: 1, x: 0, y: 0 }); hide(); redraw(); };
  const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
  canvas.addEventListener("keydown", event => {
    if (event.key in steps) { state.x += steps[event.key][0]; state.y += steps[event.key][1]; hide(); redraw(); }
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
  });
  get("map-in").addEventListener("click", () => zoom(1.5));
  get("map-out").addEventListener("click", () => zoom(1 / 1.5));
  get("map-reset").addEventListener("click", reset);
  get("map-lasso").addEventListener("click", event => {
    const on = !lassoing();
    event.currentTarget.setAttribute("aria-pressed", String(on));
    canvas.classList.toggle("lassoing", on);
    if (!on) { lasso = []; choose(); }
  });
  get("map-copy").addEventListener("click", async () => {
    const ids = get("map-ids");
    ids.select();
    let copied;
    try { await navigator.clipboard.writeText(ids.value); copied = true; }
    catch { copied = document.execCommand("copy"); }
    get("map-copy").textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { get("map-copy").textContent = "Copy"; }, 1500);
  });
  const options = (select, names, own, change) => {
    names.forEach((name, i) => {
      const option = document.createElement("option");
      option.value = i; option.textContent = name; option.selected = i === own;
      select.append(option);
    });
    select.addEventListener("change", () => { change(Number(select.value)); hide(); redraw(); });
  };
  options(get("map-color"), data.columns.map(c => c.name), state.column, i => { state.column = i; legend(); });
  options(get("map-plane"), data.planes.map(p => p.name), 0, i => {
    state.plane = i; Object.assign(state, { scale: 1, x: 0, y: 0 });
    get("map-axes").textContent = plane().axes.join(", up: ");
  });
  get("map-plane").parentElement.hidden = data.planes.length < 2;
  get("map-axes").textContent = plane().axes.join(", up: ");

  for (const picture of document.querySelectorAll(".map-plain")) picture.hidden = true;
  figure.hidden = false;
  legend();
  new ResizeObserver(resize).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
