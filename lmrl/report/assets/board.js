// Boards of an episode: cells, pieces and the path, one frame for each observation.

const TONES = { "#": "wall", ".": "free", "*": "goal", l: "light", d: "dark", g: "hit", y: "near", b: "miss", " ": "blank" };

class Board {
  constructor(drawing, onframe) {
    this.drawing = drawing;
    this.frame = 0;
    this.last = drawing.frames.length - 1;
    this.timer = null;
    this.picture = h("div", { class: "picture" });
    this.caption = h("output", { class: "muted" });
    this.range = h("input", { type: "range", min: 0, max: this.last, value: 0, "aria-label": "Moment of the episode", oninput: () => { this.stop(); this.show(Number(this.range.value)); onframe(this.frame); } });
    this.play = h("button", { type: "button", onclick: () => this.toggle(onframe) }, "Play");
    this.element = h("div", { class: "board" }, this.picture, h("div", { class: "controls" }, this.play, this.range, this.caption));
    this.show(this.last);
  }

  toggle(onframe) {
    if (this.timer) return this.stop();
    if (this.frame === this.last) this.show(0);
    this.play.textContent = "Pause";
    this.timer = setInterval(() => {
      if (this.frame >= this.last || !this.element.isConnected) return this.stop();
      this.show(this.frame + 1);
      onframe(this.frame);
    }, Math.max(80, Math.min(600, 8000 / (this.last + 1))));
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "Play";
  }

  show(frame) {
    this.frame = Math.max(0, Math.min(this.last, frame));
    this.range.value = this.frame;
    const text = this.drawing.frames[this.frame]?.[4] ?? "";
    this.caption.textContent = `${this.frame} of ${this.last}${text ? `: ${visible(text)}` : ""}`;
    this.picture.replaceChildren(this.drawn());
  }

  drawn() {
    const { rows, columns, ground, frames } = this.drawing;
    const [glyphs, tones, at, marked, caption] = frames[this.frame] ?? ["", "", null, [], ""];
    const size = 24, letters = Array.from(glyphs), looks = tones || ground;
    const picture = s("svg", { viewBox: `-1 -1 ${columns * size + 2} ${rows * size + 2}`, role: "img", "aria-label": `Board, ${visible(caption) || `moment ${this.frame}`}` });
    for (let cell = 0; cell < rows * columns; cell++) {
      const x = (cell % columns) * size, y = Math.floor(cell / columns) * size;
      picture.append(s("rect", { x, y, width: size, height: size, class: `cell ${TONES[looks[cell]] ?? "blank"}${marked.includes(cell) ? " marked" : ""}` }));
      const letter = letters[cell];
      if (letter && letter.trim()) picture.append(s("text", { x: x + size / 2, y: y + size / 2, class: `glyph ${TONES[looks[cell]] ?? ""}`, "dominant-baseline": "central", "text-anchor": "middle" }, visible(letter)));
    }
    const path = frames.slice(0, this.frame + 1).map((frame) => frame[2]).filter((cell) => cell !== null);
    const middle = (cell) => [(cell % columns) * size + size / 2, Math.floor(cell / columns) * size + size / 2];
    if (path.length) {
      picture.append(s("polyline", { class: "walk", points: path.map((cell) => middle(cell).join(",")).join(" ") }));
      const [x0, y0] = middle(path[0]);
      picture.append(s("circle", { class: "begin", cx: x0, cy: y0, r: 4 }));
    }
    if (at !== null && at !== undefined) {
      const [x, y] = middle(at);
      picture.append(s("circle", { class: "here", cx: x, cy: y, r: 7 }));
    }
    return picture;
  }
}
