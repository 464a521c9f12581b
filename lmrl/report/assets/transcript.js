// An episode as a conversation, with the figures of each token.

const UNITS = { sampler_log_prob: "nats", log_prob: "nats", entropy: "nats", value: "return", advantage: "", q: "return", target: "return" };
const TITLES = { sampler_log_prob: "log-prob (sampler)", log_prob: "log-prob (learner)", entropy: "entropy", value: "value", advantage: "advantage", q: "Q" };
const title = (name) => TITLES[name] ?? words(name);

class Transcript {
  constructor(app) {
    this.app = app;
    this.colouring = "sampler_log_prob";
    this.element = h("article", { class: "transcript", tabindex: -1, "aria-label": "Episode" });
  }

  show(episode, facts, list) {
    this.board?.stop();
    this.episode = episode;
    this.offsets = [0];
    for (const count of episode.counts) this.offsets.push(this.offsets.at(-1) + count);
    const names = Object.keys(episode.quantities);
    if (!names.includes(this.colouring)) this.colouring = names[0] ?? "none";
    this.board = episode.drawing ? new Board(episode.drawing, (frame) => this.reveal(frame)) : null;
    this.panel = h("aside", { class: "token-panel", "aria-live": "polite" }, h("p", { class: "muted" }, "Select a token to see its figures."));
    this.plot = h("div");
    this.turns = h("ol", { class: "turns" });
    this.paint();
    this.element.replaceChildren(...[
      this.header(facts, list),
      this.about(facts),
      h("div", { class: this.board ? "stage with-board" : "stage" },
        h("div", { class: "side" }, this.board?.element, names.length ? this.toolbar(names) : null, episode.tokens.length ? this.panel : null, this.plot),
        this.turns)].filter(Boolean));
    this.chart();
  }

  header(facts, list) {
    return h("header", {},
      h("button", { type: "button", class: "plain back", onclick: () => this.app.back() }, "← List"),
      h("h2", {}, visible(this.episode.task), " ", h("span", { class: "muted" }, this.episode.seed === "-1" ? "imported" : `seed ${visible(this.episode.seed)}`)),
      h("div", { class: "step" },
        h("button", { type: "button", class: "plain", onclick: () => list.move(-1), "aria-label": "Previous episode" }, "↑"),
        h("button", { type: "button", class: "plain", onclick: () => list.move(1), "aria-label": "Next episode" }, "↓")));
  }

  about(facts) {
    const e = this.episode;
    const item = (name, value) => (value === "" || value === null ? null : h("div", {}, h("dt", {}, name), h("dd", {}, value)));
    const saw = e.spans.every((v) => v === 1) && e.spans.length > 1 ? "the newest text alone"
      : e.spans.every((v, i) => v === 2 * i + 1) ? "the whole episode" : e.spans.length ? `at most the last ${Math.max(...e.spans)} texts` : "";
    const more = { ...e.info, ...(Object.keys(e.options).length ? { options: e.options } : {}) };
    return h("div", { class: "about" }, h("dl", { class: "facts" },
      item("Return", number(facts.returned)), item("Actions", whole.format(facts.length)),
      item("Outcome", facts.outcome === 1 ? h("b", { class: "good" }, "success") : facts.outcome === 0 ? h("b", { class: "bad" }, "no success") : ""),
      item("End", e.ending === "truncated" ? "cut by a limit" : "by the task's rules"),
      item("Policy", visible(e.player || "unknown")), item("Weights", facts.version >= 0 ? `version ${facts.version}` : ""),
      item("From", visible(`${facts.kind}${facts.update >= 0 ? `, update ${facts.update}` : ""}${facts.run ? `, ${facts.run}` : ""}`)),
      item("Policy saw", saw)),
    h("details", {}, h("summary", {}, "Facts of the task"), h("pre", {}, visible(JSON.stringify(more, null, 1)))));
  }

  toolbar(names) {
    const options = [["none", "nothing"], ...names.map((name) => [name, title(name)])];
    if (this.several()) options.push(["version", "weight version"]);
    return h("div", { class: "toolbar" },
      select("Colour tokens by", options, this.colouring, (value) => { this.colouring = value; this.paint(); this.chart(); }),
      this.scale = h("div", { class: "colour-scale" }));
  }

  several() {
    return Array.isArray(this.episode.versions) && new Set(this.episode.versions).size > 1;
  }

  values() {
    if (this.colouring === "none") return null;
    return this.colouring === "version" ? this.episode.versions : this.episode.quantities[this.colouring];
  }

  version(i) {
    return Array.isArray(this.episode.versions) ? this.episode.versions[i] ?? -1 : this.episode.versions;
  }

  paint() {
    const { texts, counts, rewards } = this.episode;
    const values = this.values();
    const [low, high] = values ? extent(values) : [0, 0];
    this.shade = (v) => {
      if (v === null || v === undefined || !values) return null;
      if (low < 0 && high > 0) return v < 0 ? ["neg", v / low] : ["pos", v / high];
      // Log-probabilities: the less likely, the stronger.
      return high <= 0 ? ["neg", low < 0 ? v / low : 0] : ["pos", high > low ? (v - low) / (high - low) : 0];
    };
    this.turns.replaceChildren(...counts.map((_, t) => this.turn(t, texts[2 * t], texts[2 * t + 1], rewards[t])),
      ...(this.episode.more > 0 ? [h("li", { class: "muted" }, `${whole.format(this.episode.more)} more turns are not shown.`)] : []),
      h("li", { class: "turn end" }, this.bubble("seen", "final observation", texts.at(-1))));
    if (this.scale) this.scale.replaceChildren(values ? `${number(low)} to ${number(high)} ${UNITS[this.colouring] ?? ""}` : "");
  }

  bubble(kind, label, ...content) {
    return h("div", { class: `bubble ${kind}` }, h("span", { class: "who" }, label), h("div", { class: "said" }, content.map((c) => (c instanceof Node ? c : visible(c)))));
  }

  turn(t, observation, action, reward) {
    const from = this.offsets[t], to = this.offsets[t + 1];
    const version = to > from && this.version(from) >= 0 ? ` · v${this.version(from)}` : "";
    const tokens = to > from ? h("span", { class: "tokens", role: "group", "aria-label": `Tokens of action ${t + 1}` }, Array.from({ length: to - from }, (_, k) => this.token(from + k, t, k === 0))) : visible(action);
    return h("li", { class: "turn", id: `turn-${t}` },
      this.bubble("seen", `observation ${t + 1}`, observation),
      h("div", { class: "answer" }, this.bubble("done", `action ${t + 1}${version}`, tokens),
        h("span", { class: `reward ${reward > 0 ? "good" : reward < 0 ? "bad" : ""}`, title: "reward of the action" }, reward > 0 ? `+${number(reward)}` : number(reward))));
  }

  token(i, t, first) {
    const text = this.episode.tokens[i];
    const shade = this.shade(this.values()?.[i]);
    return h("span", {
      class: shade ? `token ${shade[0]}` : "token", tabindex: first ? 0 : -1, role: "button", "data-token": i,
      style: shade ? { "--strength": shade[1].toFixed(3) } : {},
      onclick: () => this.inspect(i, t), onfocus: () => this.inspect(i, t),
      onkeydown: (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        event.preventDefault();
        this.turns.querySelector(`[data-token="${i + step}"]`)?.focus();
      },
    }, text.includes("\n") ? visible(text).replaceAll("\n", "↵") : visible(text) || "∅");
  }

  inspect(i, t) {
    this.turns.querySelector(".token.current")?.classList.remove("current");
    this.turns.querySelector(`[data-token="${i}"]`)?.classList.add("current");
    const last = i === this.offsets[t + 1] - 1;
    const row = (name, value, unit = "") => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "num" }, value, unit ? h("small", { class: "muted" }, ` ${unit}`) : null));
    const sampled = this.episode.quantities.sampler_log_prob?.[i];
    this.panel.classList.add("filled");
    this.panel.replaceChildren(h("button", { type: "button", class: "plain close", "aria-label": "Close the figures", onclick: () => this.panel.classList.remove("filled") }, "×"), h("h3", {}, "Token ", h("code", {}, JSON.stringify(visible(this.episode.tokens[i])))),
      h("table", {}, h("tbody", {},
        Object.entries(this.episode.quantities).map(([name, values]) => row(title(name), number(values[i]), UNITS[name])),
        sampled === null || sampled === undefined ? null : row("probability", `${number(100 * Math.exp(sampled))} %`),
        this.version(i) >= 0 ? row("weight version", this.version(i)) : null,
        row("reward", last ? number(this.episode.rewards[t]) : "0", last ? "at the end of the action" : ""),
        row("action", `${t + 1} of ${this.episode.counts.length}`))));
    this.board?.stop();
    this.board?.show(t);
  }

  reveal(frame) {
    this.turns.querySelector(".turn.now")?.classList.remove("now");
    const turn = this.turns.children[frame];
    turn?.classList.add("now");
    turn?.scrollIntoView({ block: "nearest" });
  }

  chart() {
    const values = this.values();
    clear(this.plot);
    if (!values || values.length < 2) return;
    const x = values.map((_, i) => i + 1);
    const made = lineChart({ title: `${this.colouring === "version" ? "weight version" : title(this.colouring)} along the episode`, text: "", unit: UNITS[this.colouring] ?? "", log: false, points: [], lines: [{ group: 0, run: null, x, y: values }] },
      { names: () => title(this.colouring), xLabel: "action token", height: 150, marks: this.offsets.length < 60 ? this.offsets.slice(1, -1).map((v) => v + 0.5) : [] });
    this.plot.append(made);
  }
}
