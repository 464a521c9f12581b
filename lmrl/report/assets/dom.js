// Elements and texts. Every text enters the page as a text node, never as markup.

const SVG = "http://www.w3.org/2000/svg";

// Returns an element with properties and children; a text child becomes a text node.
function h(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

function s(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
  }
  return element;
}

// Control characters and marks that turn the direction of text, shown as their codes.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
function visible(text) {
  return String(text).replace(HIDDEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e7) return value.toExponential(1);
  if (Number.isInteger(value) || size >= 1000) return whole.format(value).replace("-", "−");
  const text = size < 1e-3 ? value.toExponential(1)
    : size < 1 ? Number(value.toPrecision(3)).toString() : value.toFixed(size >= 100 ? 1 : 2);
  return text.replace("-", "−").replace("e−", "e-");
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function words(name) {
  return String(name).replaceAll("_", " ");
}

// The colour of a group: one of eight, defined for light and dark in the style sheet.
function colour(group) {
  return `var(--c${group % 8})`;
}

function clear(element) {
  element.replaceChildren();
  return element;
}

function select(label, options, value, onchange) {
  const control = h("select", { "aria-label": label, onchange: () => onchange(control.value) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, visible(text))));
  return h("label", { class: "field" }, h("span", {}, label), control);
}
