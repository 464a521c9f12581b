// The page: tabs in the address, the theme, and the refresh of a live page.

const VIEWS = [["overview", "Overview"], ["episodes", "Episodes"], ["setup", "Configuration"]];
const REFRESH = 4000;

class App {
  constructor(source, place) {
    this.source = source;
    this.hidden = new Set();
    this.chosen = { measure: "return", metric: "" };
    this.place = place;
    this.panes = Object.fromEntries(VIEWS.map(([id, name]) => [id, h("div", { class: `view ${id}`, id: `view-${id}`, role: "region", "aria-label": name, hidden: true })]));
    this.tabs = Object.fromEntries(VIEWS.map(([id, name]) => [id, h("a", { href: `#/${id}` }, name)]));
    document.getElementById("tabs").replaceChildren(...Object.values(this.tabs));
    this.place.replaceChildren(...Object.values(this.panes));
    this.list = new EpisodeList(this, (number, focus) => this.open(number, focus));
    this.transcript = new Transcript(this);
    this.holder = h("div", { class: "reader" }, h("p", { class: "muted empty" }, "Choose an episode. Arrow keys move through the list."));
    this.panes.episodes.append(h("p", { class: "muted lead", id: "embedded" }), h("div", { class: "split" }, this.list.element, this.holder));
    addEventListener("hashchange", () => this.route());
  }

  async start() {
    this.panes.overview.hidden = false;
    this.panes.overview.append(h("p", { class: "muted" }, "Reading…"));
    this.draw(await this.source.overview());
    await this.route();
    if (this.source.live) setInterval(() => this.refresh().catch((error) => this.fail(error)), REFRESH);
    else if (!this.loaded) (globalThis.requestIdleCallback ?? setTimeout)(() => this.load());
  }

  draw(data) {
    this.data = data;
    const { runs } = data;
    const tasks = [...new Set(runs.map((run) => run.task))].join(", ");
    const algorithms = [...new Set(runs.map((run) => run.algorithm))].join(", ");
    document.getElementById("title").textContent = visible(runs.length === 1 ? runs[0].name : `${runs.length} runs`);
    document.getElementById("subtitle").textContent = visible(`${tasks} · ${algorithms}${runs.length === 1 && runs[0].seed !== null ? ` · seed ${runs[0].seed}` : ""}`);
    document.getElementById("made").textContent = visible(`lmrl ${data.version}, ${data.made.replace("T", " ").replace("+00:00", " UTC")}`);
    renderOverview(this.panes.overview, data, this);
    renderSetup(this.panes.setup, data);
    document.getElementById("embedded").textContent = data.embedded ?? "";
  }

  async refresh() {
    if (document.hidden) return;
    const data = await this.source.overview();
    if (!data) return;
    const top = scrollY;
    this.draw(data);
    scrollTo(0, top);
    if (this.loaded && this.view !== "episodes") this.loaded = null;
  }

  load() {
    this.loaded ??= this.source.index().then((index) => {
      document.getElementById("embedded").textContent = [this.data.embedded, ...(index.problems ?? [])].filter(Boolean).map(visible).join(" ");
      return this.list.set(index);
    }).catch((error) => this.fail(error));
    return this.loaded;
  }

  async route() {
    const [, view, number] = location.hash.split("/");
    this.view = VIEWS.some(([id]) => id === view) ? view : "overview";
    for (const [id] of VIEWS) {
      this.panes[id].hidden = id !== this.view;
      if (id === this.view) this.tabs[id].setAttribute("aria-current", "page"); else this.tabs[id].removeAttribute("aria-current");
    }
    if (this.view !== "episodes") return;
    await this.load();
    this.list.paint();
    if (/^\d+$/.test(number ?? "") && Number(number) < this.list.size && Number(number) !== this.shown) {
      this.list.activate(Number(number));
      await this.show(Number(number));
    }
    else if (this.shown === undefined && this.list.places.length && innerWidth > 760) await this.show(this.list.places[0]);
    document.body.classList.toggle("reading", number !== undefined);
  }

  open(number, focus) {
    history.replaceState(null, "", `#/episodes/${number}`);
    document.body.classList.add("reading");
    this.show(number).then(() => focus && this.transcript.element.focus()).catch((error) => this.fail(error));
  }

  back() {
    history.replaceState(null, "", "#/episodes");
    document.body.classList.remove("reading");
    this.list.box.focus();
  }

  async show(number) {
    this.shown = number;
    const episode = await this.source.episode(number);
    if (this.shown !== number) return;
    const { columns, kinds } = this.list.index;
    const facts = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[number]]));
    facts.kind = kinds[facts.kind];
    facts.run = this.data.runs.length > 1 ? this.data.runs[facts.run].name : "";
    if (!this.transcript.element.isConnected) this.holder.replaceChildren(this.transcript.element);
    this.transcript.show(episode, facts, this.list);
    this.transcript.element.scrollTop = 0;
  }

  fail(error) {
    const message = document.getElementById("failed");
    message.hidden = false;
    message.textContent = `The page could not be completed: ${visible(error.message)}`;
  }
}

function themes() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const current = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const label = () => { button.textContent = current() === "dark" ? "Light" : "Dark"; button.setAttribute("aria-label", `Use the ${button.textContent.toLowerCase()} theme`); };
  button.addEventListener("click", () => {
    root.dataset.theme = current() === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a file may have no storage */ }
    label();
  });
  try { const kept = localStorage.getItem("theme"); if (kept === "dark" || kept === "light") root.dataset.theme = kept; } catch { /* see above */ }
  dark.addEventListener("change", label);
  label();
}

// The list of all runs of a server, each with a link; several can be chosen for one report.
async function home(place) {
  const chosen = new Set();
  let drawn = "";
  place.replaceChildren(h("p", { class: "muted" }, "Reading the runs…"));
  const draw = async () => {
    if (document.hidden && place.querySelector("table")) return;
    const data = await (await fetch("api/runs")).json();
    const now = JSON.stringify([data.runs, data.problems]);
    if (now === drawn) return;
    drawn = now;
    const open = h("button", { type: "button", disabled: chosen.size < 1, onclick: () => { location.href = `report?${[...chosen].map((key) => `run=${key}`).join("&")}`; } }, "Open the chosen runs together");
    const table = runTable(data);
    [...table.querySelectorAll("tbody tr")].forEach((row, i) => {
      const run = data.runs[i], first = row.firstChild;
      first.replaceChildren(
        h("input", { type: "checkbox", "aria-label": `Choose ${visible(run.name)}`, checked: chosen.has(run.key), onchange: (event) => { if (event.target.checked) chosen.add(run.key); else chosen.delete(run.key); open.disabled = !chosen.size; } }),
        " ", h("a", { href: `report?run=${run.key}` }, visible(run.name)));
    });
    place.replaceChildren(problems(data.problems), data.runs.length ? table : h("p", { class: "muted" }, "No run has appeared yet."), h("p", {}, open));
    document.getElementById("title").textContent = `${data.runs.length} ${data.runs.length === 1 ? "run" : "runs"}`;
  };
  await draw();
  setInterval(() => draw().catch(() => {}), REFRESH);
}

document.body.append(tooltip);
themes();
const keys = JSON.parse(document.getElementById("runs").textContent);
if (keys && !keys.length) {
  document.getElementById("tabs").hidden = true;
  home(document.getElementById("main"));
} else {
  const app = new App(keys ? new LiveSource(keys) : new EmbeddedSource(), document.getElementById("main"));
  globalThis.report = app;
  app.start().catch((error) => app.fail(error));
}
