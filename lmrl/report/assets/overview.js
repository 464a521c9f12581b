// The overview: the state of the runs, scores, curves, health, time, failures.

function section(id, title, text, ...content) {
  return h("section", { id, "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, title), text ? h("p", { class: "muted lead" }, text) : null, ...content);
}

function renderOverview(place, data, app) {
  const { runs, groups } = data;
  const hidden = app.hidden;
  const plots = [];
  const names = (item) => {
    const group = groups[item.group]?.name ?? "";
    const run = item.run === null || item.run === undefined ? (groups[item.group].runs.length > 1 ? `${group}, mean` : group)
      : groups.length > 1 || groups[item.group].runs.length > 1 ? runs[item.run].name : group;
    return item.label ? (runs.length > 1 ? `${run}: ${item.label}` : item.label) : item.name ?? run;
  };
  const figure = (chart) => {
    const made = lineChart(dashed(chart), { names, hidden });
    plots.push(made);
    return made;
  };
  const grid = (charts) => h("div", { class: "grid" }, charts.map(figure));
  const of = (name) => data.charts.filter((chart) => chart.section === name);
  const legend = groups.length > 1 ? groupLegend(groups, hidden, () => plots.forEach((p) => p.redraw())) : null;

  place.replaceChildren(
    problems(data.problems),
    runs.length === 1 ? tiles(runs[0], data.ledgers[0]) : runTable(data),
    ...[legend].filter(Boolean));
  if (data.scores.length) place.append(scoreSection(data, app));
  if (of("learning").length) {
    const several = groups.some((g) => g.runs.length > 1);
    place.append(section("learning", "Learning", several
      ? "Thin lines are single seeds, thick lines are means over seeds. With three or more seeds the band is the 95 % interval of the mean."
      : "", grid(of("learning"))));
  }
  if (of("health").length || data.ledgers.some((l) => l.started)) {
    place.append(section("health", "Health of the system",
      "Whether samplers and learner agree, and whether every episode is accounted for.",
      ledgerBars(data), grid(of("health"))));
  }
  const timed = data.times.map((t, i) => ({ name: runs[i].name, parts: t.parts.map((p) => ({ name: p.name, value: p.seconds })) })).filter((t) => t.parts.length);
  if (timed.length || of("speed").length) {
    place.append(section("time", "Where the time went", "", timed.length ? dividedBars(timed, duration) : null, grid(of("speed"))));
  }
  if (data.others.length) place.append(otherMetrics(data.others, figure, app));
  if (data.failures.length) place.append(failures(data));
}

// Lines of one chart that share a group differ by dash, as those of the ledger do by colour.
function dashed(chart) {
  if (!chart.lines.some((line) => line.name)) return chart;
  return { ...chart, lines: chart.lines.map((line, i) => ({ ...line, colour: i })) };
}

function problems(sentences) {
  if (!sentences.length) return h("div", { hidden: true });
  return h("details", { class: "notice", open: sentences.length <= 3 },
    h("summary", {}, `${sentences.length === 1 ? "One thing" : `${sentences.length} things`} could not be read`),
    h("ul", {}, sentences.map((text) => h("li", {}, visible(text)))));
}

const LEARNED = (run) => run.finals[run.algorithm] ?? null;

function state(run) {
  const kind = { finished: "good", stopped: "bad", interrupted: "warn", terminated: "warn" }[run.phase]
    ?? (run.seconds_left !== null ? "live" : "warn");
  const text = kind === "live" ? `running, update ${number(run.update)} of ${number(run.updates)}, ${duration(run.seconds_left)} left` : run.phase;
  return h("span", { class: `state ${kind}` }, visible(text));
}

function tile(label, value, detail) {
  return h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, value, detail ? h("small", {}, detail) : null));
}

function tiles(run, ledger) {
  const final = LEARNED(run);
  const random = run.finals.random;
  const ended = ["trained", "evaluated", "stale", "failed"].reduce((sum, name) => sum + (ledger[name] ?? 0), 0);
  const open = (ledger.started ?? 0) - ended;
  return h("dl", { class: "tiles" },
    tile("State", state(run), run.error ? visible(run.error) : `${number(run.update)} of ${number(run.updates)} updates`),
    final ? tile("Final return", number(final.mean), random ? `random player ${number(random.mean)}` : "") : null,
    final?.normalised != null ? tile("Normalised score", number(final.normalised), "0 worst, 50 data, 100 best") : null,
    final?.success != null ? tile("Success", `${number(100 * final.success)} %`, "of evaluation episodes") : null,
    run.seconds ? tile("Time", duration(run.seconds), "in total") : null,
    run.parity !== null ? tile("Parity", number(run.parity), "nats at most, sampler against learner") : null,
    ledger.started ? tile("Episodes", number(ledger.started), open === 0 ? "every one accounted for" : `${number(open)} not ended yet`) : null);
}

function runTable(data) {
  const rows = data.runs.map((run) => {
    const final = LEARNED(run);
    return h("tr", {},
      h("th", { scope: "row" }, h("i", { class: "swatch", style: { background: colour(run.group) } }), visible(run.name)),
      h("td", {}, visible(run.task)), h("td", {}, visible(run.algorithm)), h("td", { class: "num" }, visible(run.seed ?? "–")),
      h("td", {}, state(run)), h("td", { class: "num" }, number(final?.mean)), h("td", { class: "num" }, number(final?.normalised)),
      h("td", { class: "num" }, duration(run.seconds)), h("td", { class: "num" }, number(run.parity)));
  });
  const heads = [["Run"], ["Task"], ["Algorithm"], ["Seed", 1], ["State"], ["Final return", 1], ["Normalised", 1], ["Time", 1], ["Parity (nats)", 1]];
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Runs" }, h("table", { class: "runs" },
    h("thead", {}, h("tr", {}, heads.map(([text, num]) => h("th", { scope: "col", class: num ? "num" : null }, text)))),
    h("tbody", {}, rows)));
}

function groupLegend(groups, hidden, redraw) {
  return h("div", { class: "groups", role: "group", "aria-label": "Groups of runs in the charts" }, groups.map((group, i) => {
    const button = h("button", {
      type: "button", class: "chip", "aria-pressed": String(!hidden.has(i)),
      onclick: () => {
        if (hidden.has(i)) hidden.delete(i); else hidden.add(i);
        button.setAttribute("aria-pressed", String(!hidden.has(i)));
        redraw();
      },
    }, h("i", { style: { background: colour(i) } }), visible(group.name), h("small", {}, ` ${group.runs.length === 1 ? "1 run" : `${group.runs.length} runs`}`));
    return button;
  }));
}

function scoreSection(data, app) {
  const content = data.scores.map((block) => {
    const holder = h("div");
    const draw = () => holder.replaceChildren(scoreBars(block, data.groups, block.range ? app.chosen.measure : "return"));
    const toggle = block.range ? select("Score", [["return", "mean return"], ["normalised", "normalised (0 worst, 50 data, 100 best)"]], app.chosen.measure, (value) => { app.chosen.measure = value; draw(); }) : null;
    draw();
    const over = [...new Set(block.rows.map((row) => row.over).filter(Boolean))];
    return h("figure", { class: "chart wide" },
      h("figcaption", {}, h("h3", {}, visible(block.title)), toggle), holder,
      h("p", { class: "muted" }, over.length ? `Whiskers are 95 % intervals over ${over.join(", or over ")}. ` : "", visible(block.note)));
  });
  return section("scores", "Scores", "Mean undiscounted return of the final evaluation of each policy.", ...content);
}

function ledgerBars(data) {
  const rows = data.ledgers.map((ledger, i) => {
    const parts = ["trained", "evaluated", "stale", "failed"].map((name) => ({ name, value: ledger[name] ?? 0 }));
    const open = (ledger.started ?? 0) - parts.reduce((sum, p) => sum + p.value, 0);
    if (open > 0) parts.push({ name: "not ended", value: open });
    return { name: data.runs[i].name, parts: parts.filter((p) => p.value > 0) };
  }).filter((row) => row.parts.length);
  if (!rows.length) return null;
  return h("figure", { class: "chart wide" }, h("figcaption", {}, h("h3", {}, "Ledger of episodes"),
    h("p", { class: "muted" }, "Started = trained + evaluated + stale + failed, also after crashes.")), dividedBars(rows, number));
}

function otherMetrics(charts, figure, app) {
  const first = charts.find((chart) => chart.id === app.chosen.metric) ?? charts[0];
  const holder = h("div", { class: "grid" });
  const show = (id) => {
    app.chosen.metric = id;
    holder.replaceChildren(figure(charts.find((chart) => chart.id === id)));
  };
  const choice = select("Metric", charts.map((c) => [c.id, c.title]), first.id, show);
  show(first.id);
  return section("others", "All other metrics", "", choice, holder);
}

function failures(data) {
  return section("failures", "Failed episodes", "", ...data.failures.map((failure) => h("details", {},
    h("summary", {}, visible(`${data.runs[failure.run].name}, seed ${failure.seed}: ${failure.error}`)),
    h("pre", {}, visible(failure.trace || "no trace")))));
}
