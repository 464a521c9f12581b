// The list of episodes: filters over columns, and only the rows in sight in the page.

const ROW = 46;
const OUTCOMES = [["any", "any outcome"], ["1", "success"], ["0", "no success"], ["terminated", "ended by the rules"], ["truncated", "cut by a limit"]];

class EpisodeList {
  constructor(app, onopen) {
    this.app = app;
    this.onopen = onopen;
    this.index = null;
    this.places = [];
    this.active = 0;
    this.hits = null;
    this.filter = this.unfiltered();
    this.rows = h("div", { class: "rows", role: "presentation" });
    this.box = h("div", {
      class: "list", role: "listbox", tabindex: 0, "aria-label": "Episodes", onscroll: () => this.paint(),
      onkeydown: (event) => this.key(event),
    }, this.rows);
    this.count = h("p", { class: "count muted", role: "status" });
    this.form = h("form", { class: "filters", role: "search", "aria-label": "Filter episodes", onsubmit: (e) => e.preventDefault() });
    this.element = h("div", { class: "browser" }, this.form, this.count, this.box);
    new ResizeObserver(() => this.paint()).observe(this.box);
  }

  unfiltered() {
    return { text: "", outcome: "any", kind: "any", run: "any", player: "any", learned: "any", low: {}, high: {}, order: "stored" };
  }

  set(index) {
    this.index = index;
    this.size = index.columns.returned?.length ?? 0;
    this.controls();
    return this.apply();
  }

  controls() {
    const { kinds, players, columns } = this.index;
    const change = (name) => (value) => { this.filter[name] = value; this.apply(); };
    const bound = (name, side, label) => h("input", {
      type: "number", step: "any", placeholder: label, "aria-label": `${label} ${words(name)}`, value: this.filter[side][name] ?? "",
      oninput: (event) => { this.filter[side][name] = event.target.value; this.apply(); },
    });
    const range = (name, text) => h("div", { class: "field" }, h("span", {}, text), h("span", { class: "pair" }, bound(name, "low", "min"), bound(name, "high", "max")));
    const search = h("input", {
      type: "search", placeholder: "Words in the episode", "aria-label": "Text in the episode", value: this.filter.text,
      oninput: () => { this.filter.text = search.value; this.apply(); },
    });
    const present = [...new Set(columns.kind ?? [])].sort();
    const runs = this.app.data.runs;
    this.form.replaceChildren(
      h("label", { class: "field grow" }, h("span", {}, "Text"), search),
      h("details", { class: "more", open: innerWidth > 760 }, h("summary", {}, "Filters"), h("div", { class: "fieldset" },
        select("Kind", [["any", "any kind"], ...present.map((k) => [String(k), kinds[k]])], this.filter.kind, change("kind")),
        select("Outcome", OUTCOMES, this.filter.outcome, change("outcome")),
        players.length > 1 ? select("Policy", [["any", "any policy"], ...players.map((p, i) => [String(i), p || "unknown"])], this.filter.player, change("player")) : null,
        runs.length > 1 ? select("Run", [["any", "any run"], ...runs.map((r, i) => [String(i), r.name])], this.filter.run, change("run")) : null,
        columns.learned?.includes(1) ? select("Learner's figures", [["any", "with or without"], ["1", "with"]], this.filter.learned, change("learned")) : null,
        range("returned", "Return"), range("length", "Length"), range("version", "Weight version"),
        select("Order", [["stored", "as stored"], ["returned", "highest return"], ["-returned", "lowest return"], ["length", "longest"], ["-length", "shortest"], ["version", "newest version"]], this.filter.order, change("order")),
        h("button", { type: "button", class: "plain", onclick: () => { this.filter = this.unfiltered(); this.controls(); this.apply(); } }, "Reset"))));
  }

  async apply() {
    const began = performance.now();
    const text = this.filter.text.trim();
    const ticket = (this.ticket = {});
    let hits = null;
    if (text) {
      if (this.app.source.live) await new Promise((done) => setTimeout(done, 250));
      if (ticket !== this.ticket) return;
      try { hits = await this.app.source.search(text); } catch (error) { return this.app.fail(error); }
      if (ticket !== this.ticket) return;
    }
    this.places = this.matching(hits);
    this.active = 0;
    this.box.scrollTop = 0;
    this.rows.style.height = `${this.places.length * ROW}px`;
    this.paint();
    this.count.textContent = `${whole.format(this.places.length)} of ${whole.format(this.size)} episodes`
      + (this.places.length ? `, mean return ${number(this.mean())}` : "");
    this.took = performance.now() - began;
  }

  matching(hits) {
    const { columns } = this.index, { filter } = this;
    const tests = [];
    for (const name of ["kind", "run", "player", "learned"]) {
      if (filter[name] !== "any") { const v = Number(filter[name]), column = columns[name]; tests.push((i) => column[i] === v); }
    }
    if (filter.outcome === "terminated") tests.push((i) => columns.terminated[i] === 1);
    else if (filter.outcome === "truncated") tests.push((i) => columns.terminated[i] === 0);
    else if (filter.outcome !== "any") { const v = Number(filter.outcome); tests.push((i) => columns.outcome[i] === v); }
    for (const name of ["returned", "length", "version"]) {
      const column = columns[name], low = filter.low[name], high = filter.high[name];
      if (low) tests.push((i) => column[i] >= Number(low));
      if (high) tests.push((i) => column[i] <= Number(high));
    }
    if (hits) tests.push((i) => hits[i] === 1);
    const found = [];
    for (let i = 0; i < this.size; i++) if (tests.every((test) => test(i))) found.push(i);
    if (filter.order !== "stored") {
      const sign = filter.order.startsWith("-") ? 1 : -1, column = columns[filter.order.replace("-", "")];
      found.sort((a, b) => sign * (column[a] - column[b]) || a - b);
    }
    return found;
  }

  mean() {
    const column = this.index.columns.returned;
    return this.places.reduce((sum, i) => sum + column[i], 0) / this.places.length;
  }

  paint() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 4);
    const last = Math.min(this.places.length, first + Math.ceil(this.box.clientHeight / ROW) + 8);
    const rows = [];
    for (let i = first; i < last; i++) rows.push(this.row(i));
    this.rows.replaceChildren(...rows);
    this.box.setAttribute("aria-activedescendant", this.places.length ? `episode-${this.places[this.active]}` : "");
  }

  row(i) {
    const place = this.places[i], c = this.index.columns;
    const outcome = c.outcome[place] === 1 ? ["success", "good"] : c.terminated[place] === 0 ? ["cut by a limit", "warn"] : c.outcome[place] === 0 ? ["no success", "bad"] : ["", ""];
    const version = c.version[place] >= 0 ? `v${c.version[place]}` : "";
    const where = [this.index.kinds[c.kind[place]], c.update[place] >= 0 ? `update ${c.update[place]}` : "", version, this.index.players[c.player[place]], c.learned[place] ? "learner's figures" : ""];
    return h("div", {
      id: `episode-${place}`, class: "row", role: "option", "aria-selected": String(i === this.active), "aria-posinset": i + 1, "aria-setsize": this.places.length,
      style: { top: `${i * ROW}px` }, onclick: () => { this.active = i; this.paint(); this.open(); },
    },
    h("span", { class: "return" }, number(c.returned[place])),
    h("span", { class: "what" }, h("span", {}, `${c.length[place]} ${c.length[place] === 1 ? "action" : "actions"} `, h("b", { class: outcome[1] }, outcome[0])),
      h("small", { class: "muted" }, visible([...new Set(where.filter(Boolean))].join(" · ")))));
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.open(true); return; }
    if (step === undefined || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.move(step);
  }

  // Makes an episode the active one, if the filters let it through.
  activate(place) {
    const at = this.places.indexOf(place);
    if (at < 0) return;
    this.active = at;
    this.reveal();
  }

  move(step) {
    this.active = Math.max(0, Math.min(this.places.length - 1, this.active + step));
    this.reveal();
    this.open();
  }

  reveal() {
    const top = this.active * ROW;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + ROW > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + ROW - this.box.clientHeight;
    this.paint();
  }

  open(focus = false) {
    if (this.places.length) this.onopen(this.places[this.active], focus);
  }
}
