// One chart: drawn anew from its points whenever something is asked of it. Names that people chose
// only become text, never markup.

const BOX = { left: 56, right: 546, top: 14, bottom: 236 };
const hiddenRuns = new Set();
let smoothing = 0;
const tip = document.getElementById("tip");

const svg = (name, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
};
const html = (name, className, text) => {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

// The mean of what was, weighted towards the newest; corrected for having begun at nothing.
const smooth = (values) => {
  if (!smoothing) return values;
  let mean = 0, weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = mean * smoothing + value * (1 - smoothing);
    weight = weight * smoothing + (1 - smoothing);
    return mean / weight;
  });
};

const toggle = (button, hidden, key) => {
  const hide = !hidden.has(key);
  if (hide) hidden.add(key); else hidden.delete(key);
  button.setAttribute("aria-pressed", String(!hide));
};

class Chart {
  constructor(element, data) {
    this.svg = element;
    this.data = data;
    this.log = data.log;
    this.hiddenLines = new Set();
    this.range = null;
    this.at = null;
    this.panel = element.closest(".panel");
    this.overlay = svg("g", { class: "overlay" });
    element.append(this.overlay);
    element.setAttribute("tabindex", "0");
    this.listen();
  }

  lines() {
    return this.data.lines
      .map((line, index) => ({ ...line, index }))
      .filter((line) => !this.hiddenLines.has(line.index) && !hiddenRuns.has(line.run));
  }

  // Logarithmic, where it was asked for and some value can be shown so.
  scales() {
    const lines = this.lines();
    let [low, high] = this.range || this.wholeRange();
    if (high <= low) { low -= 1; high = low + 2; }
    this.x = scale(low, high, BOX.left, BOX.right, false);
    const seen = { all: [Infinity, -Infinity], positive: [Infinity, -Infinity] };
    for (const line of lines) {
      line.steps.forEach((step, i) => {
        const value = line.values[i];
        if (step < low || step > high || value === null) return;
        for (const range of value > 0 ? [seen.all, seen.positive] : [seen.all]) {
          range[0] = Math.min(range[0], value);
          range[1] = Math.max(range[1], value);
        }
      });
    }
    this.isLog = this.log && seen.positive[1] > 0;
    this.y = scaleOver(...(this.isLog ? seen.positive : seen.all), BOX.bottom, BOX.top, this.isLog);
    return lines;
  }

  wholeRange() {
    let low = Infinity, high = -Infinity;
    for (const line of this.data.lines) {
      low = Math.min(low, line.steps[0]);
      high = Math.max(high, line.steps[line.steps.length - 1]);
    }
    if (this.data.from !== null) low = Math.max(this.data.from, 0);
    return Number.isFinite(low) ? [low, high] : [0, 1];
  }

  draw() {
    const lines = this.scales();
    this.drawAxes();
    this.drawMarks();
    const group = this.svg.querySelector(".lines");
    group.replaceChildren();
    for (const line of lines) {
      if (smoothing && !this.data.held) {
        group.append(svg("path", { class: `line raw ${line.colour}`, d: this.path(line.steps, line.values) }));
      }
      const values = this.data.held ? line.values : smooth(line.values);
      const path = svg("path", {
        class: `line ${line.colour}`, d: this.path(line.steps, values),
        "data-run": line.run, "data-line": line.index,
      });
      path.append(svg("title", {}, line.label));
      group.append(path);
    }
    this.hover(this.at);
  }

  path(steps, values) {
    let text = "", down = false;
    steps.forEach((step, i) => {
      const value = values[i];
      if (value === null || (this.isLog && value <= 0)) { down = false; return; }
      const x = this.x(step).toFixed(1), y = this.y(value).toFixed(1);
      if (down && this.data.held) text += `H${x}V${y}`;
      else text += down ? `L${x},${y}` : `M${x},${y}h0`;
      down = true;
    });
    return text;
  }

  drawAxes() {
    const axes = this.svg.querySelector(".axes");
    axes.replaceChildren();
    for (const tick of this.y.ticks) {
      const y = this.y(tick);
      axes.append(svg("path", { class: "grid", d: `M${BOX.left},${y}H${BOX.right}` }));
      axes.append(svg("text", { class: "tick", x: BOX.left - 7, y: y + 3.5, "text-anchor": "end" }, format(tick)));
    }
    for (const tick of this.x.ticks) {
      axes.append(svg("text", { class: "tick", x: this.x(tick), y: 252, "text-anchor": "middle" }, format(tick)));
    }
    axes.append(svg("text", { class: "axis", x: BOX.right, y: 267, "text-anchor": "end" }, "step"));
  }

  drawMarks() {
    const group = this.svg.querySelector(".marks");
    group.replaceChildren();
    for (const marker of this.data.markers) {
      if (hiddenRuns.has(marker.run) || marker.step < this.x.low || marker.step > this.x.high) continue;
      const x = this.x(marker.step).toFixed(1);
      const mark = svg("g", {
        class: `mark ${marker.colour}`, "data-run": marker.run, "data-step": marker.step,
        tabindex: "0", role: "img", "aria-label": marker.text,
      });
      mark.append(svg("path", { class: "hit", d: `M${x},${BOX.top}V${BOX.bottom}` }));
      mark.append(svg("path", { class: "rule", d: `M${x},${BOX.top}V${BOX.bottom}` }));
      mark.append(svg("path", { class: "flag", d: `M${x - 4},8h8l-4,6z` }));
      group.append(mark);
    }
  }

  listen() {
    const place = (event) => {
      const box = this.svg.getBoundingClientRect();
      return (event.clientX - box.left) / box.width * 560;
    };
    const stepAt = (x) => {
      const part = (Math.min(Math.max(x, BOX.left), BOX.right) - BOX.left) / (BOX.right - BOX.left);
      return this.x.low + part * (this.x.high - this.x.low);
    };
    let begun = null;
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && event.pointerType === "mouse") { begun = place(event); event.preventDefault(); this.svg.focus({ preventScroll: true }); }
    });
    this.svg.addEventListener("pointermove", (event) => {
      const x = place(event);
      this.hover(stepAt(x));
      if (begun !== null) this.brush(begun, x);
    });
    this.svg.addEventListener("pointerleave", () => { begun = null; this.hover(null); });
    this.svg.addEventListener("pointerup", (event) => {
      if (begun === null) return;
      const x = place(event);
      if (Math.abs(x - begun) > 6) this.zoom([stepAt(Math.min(begun, x)), stepAt(Math.max(begun, x))]);
      begun = null;
    });
    this.svg.addEventListener("dblclick", () => this.zoom(null));
    this.svg.addEventListener("focusin", (event) => {
      const mark = event.target.closest(".mark");
      if (mark) this.hover(Number(mark.dataset.step));
    });
    this.svg.addEventListener("focusout", () => this.hover(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    const tools = this.panel.querySelector(".tools");
    this.logButton = tools.querySelector(".log");
    this.logButton.addEventListener("click", () => {
      this.log = !this.log;
      this.logButton.setAttribute("aria-pressed", String(this.log));
      this.draw();
    });
    this.resetButton = tools.querySelector(".reset");
    this.resetButton.addEventListener("click", () => this.zoom(null));
    for (const button of this.panel.querySelectorAll(".legend button[data-line]")) {
      button.addEventListener("click", () => {
        toggle(button, this.hiddenLines, Number(button.dataset.line));
        this.draw();
      });
    }
  }

  key(event) {
    if (event.key === "Escape") { this.zoom(null); return; }
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    const steps = [...new Set(this.lines().flatMap((line) => line.steps))]
      .filter((step) => step >= this.x.low && step <= this.x.high).sort((a, b) => a - b);
    if (!steps.length) return;
    if (this.at === null) { this.hover(steps[direction > 0 ? 0 : steps.length - 1]); return; }
    const next = direction > 0 ? steps.find((step) => step > this.at) : steps.findLast((step) => step < this.at);
    if (next !== undefined) this.hover(next);
  }

  zoom(range) {
    this.range = range;
    this.resetButton.hidden = range === null;
    this.draw();
  }

  brush(from, to) {
    const left = Math.max(Math.min(from, to), BOX.left), right = Math.min(Math.max(from, to), BOX.right);
    this.overlay.append(svg("rect", { class: "brush", x: left, y: BOX.top, width: Math.max(right - left, 0), height: BOX.bottom - BOX.top }));
  }

  // Shows what each line has at the step nearest to one, and who intervened near it.
  hover(step) {
    this.overlay.replaceChildren();
    this.at = step;
    if (step === null) { tip.hidden = true; return; }
    const rows = [];
    let nearest = null;
    for (const line of this.lines()) {
      const i = nearestIndex(line.steps, step);
      if (line.steps[i] < this.x.low || line.steps[i] > this.x.high) continue;
      if (nearest === null || Math.abs(line.steps[i] - step) < Math.abs(nearest - step)) nearest = line.steps[i];
      rows.push({ line, i });
    }
    if (nearest === null) { tip.hidden = true; return; }
    this.at = nearest;
    const x = this.x(nearest);
    this.overlay.append(svg("path", { class: "crosshair", d: `M${x},${BOX.top}V${BOX.bottom}` }));
    const content = [html("b", "", `step ${nearest}`)];
    const reach = (this.x.high - this.x.low) * 0.02;
    for (const { line, i } of rows) {
      if (Math.abs(line.steps[i] - nearest) > reach) continue;
      const value = line.values[i];
      if (value !== null && (!this.isLog || value > 0)) {
        this.overlay.append(svg("circle", { class: `point ${line.colour}`, cx: this.x(line.steps[i]), cy: this.y(this.data.held ? value : smooth(line.values)[i]), r: 3.5 }));
      }
      const row = html("div", "row");
      const other = line.steps[i] === nearest ? "" : ` (step ${line.steps[i]})`;
      row.append(html("span", `dot ${line.colour}`), html("bdi", "", line.label + other), html("i", "", format(value)));
      content.push(row);
    }
    for (const marker of this.data.markers) {
      if (!hiddenRuns.has(marker.run) && Math.abs(this.x(marker.step) - this.x(step)) < 7) {
        const row = html("div", "row");
        row.append(html("span", `dot ${marker.colour}`), html("bdi", "", marker.text));
        content.push(row);
      }
    }
    tip.replaceChildren(...content);
    tip.hidden = false;
    const box = this.svg.getBoundingClientRect();
    const left = box.left + x / 560 * box.width;
    const width = tip.offsetWidth, height = tip.offsetHeight;
    tip.style.left = `${left + 16 + width > innerWidth ? Math.max(left - width - 16, 4) : left + 16}px`;
    tip.style.top = `${Math.max(4, Math.min(box.top + 12, innerHeight - height - 4))}px`;
  }
}
