// Configurations, their differences, and versions.

function renderSetup(place, data) {
  const names = data.runs.map((run) => run.name);
  const differing = data.fields.filter((row) => row.differs);
  place.replaceChildren();
  if (names.length > 1) {
    place.append(section("differences", "Differences between runs",
      differing.length ? `${differing.length} of ${data.fields.length} fields differ.` : "The runs have the same configuration.",
      differing.length ? fieldTable(differing, names, true) : null));
  }
  const versions = data.versions.map((row) => ({ ...row, name: row.name.replace(/^provenance\.(versions\.)?/, "") }));
  if (versions.length) place.append(section("versions", "Versions", "", fieldTable(versions, names, names.length > 1)));
  if (data.fields.length) {
    const holder = h("div");
    const input = h("input", { type: "search", placeholder: "Filter fields", "aria-label": "Filter fields", oninput: () => draw() });
    const draw = () => holder.replaceChildren(fieldTable(data.fields.filter((row) => row.name.includes(input.value)), names, false));
    draw();
    place.append(section("fields", "All fields", "", h("p", {}, input), holder));
  }
}

function fieldTable(rows, names, marked) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Fields" }, h("table", { class: "fields" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Field"), names.map((name) => h("th", { scope: "col" }, visible(name))))),
    h("tbody", {}, rows.map((row) => h("tr", { class: marked && row.differs ? "differs" : null },
      h("th", { scope: "row" }, visible(row.name)),
      row.values.map((value) => h("td", {}, value === null ? h("span", { class: "muted" }, "–") : visible(value))))))));
}
