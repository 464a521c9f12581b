// Where the page gets its content: blocks inside the file, or the server that sent it.

async function inflate(id) {
  const block = document.getElementById(`block-${id}`);
  const text = block.textContent;
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(text)
    : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

async function inflateJson(id) {
  return JSON.parse(new TextDecoder().decode(await inflate(id)));
}

class EmbeddedSource {
  live = false;

  overview() { return inflateJson("overview"); }

  async index() {
    const [index, texts, tokens, said, starts] = await Promise.all([
      inflateJson("index"), inflateJson("texts"), inflateJson("tokens"), inflate("said"), inflate("starts"),
    ]);
    this.texts = texts;
    this.tokens = tokens;
    this.said = new Uint32Array(said);
    this.starts = new Uint32Array(starts);
    this.piece = { number: -1, content: null };
    return index;
  }

  // Marks the episodes that have a text with the words in it.
  async search(query) {
    this.lower ??= this.texts.map((text) => text.toLowerCase());
    const wanted = query.toLowerCase();
    const hits = new Uint8Array(this.lower.length);
    for (let i = 0; i < hits.length; i++) hits[i] = this.lower[i].includes(wanted) ? 1 : 0;
    const found = new Uint8Array(this.starts.length - 1);
    for (let i = 0; i < found.length; i++) {
      for (let j = this.starts[i]; j < this.starts[i + 1]; j++) {
        if (hits[this.said[j]]) { found[i] = 1; break; }
      }
    }
    return found;
  }

  async episode(place) {
    const number = Math.floor(place / PIECE);
    if (this.piece.number !== number) {
      this.piece = { number, content: await inflateJson(`piece-${number}`) };
    }
    const stored = this.piece.content[place % PIECE];
    const own = this.said.subarray(this.starts[place], this.starts[place + 1]);
    return {
      ...stored,
      texts: Array.from(own, (i) => this.texts[i]),
      tokens: stored.tokens.map((i) => this.tokens[i]),
    };
  }
}

class LiveSource {
  live = true;

  constructor(keys) {
    this.query = keys.map((key) => `run=${encodeURIComponent(key)}`).join("&");
    this.tag = "";
  }

  // The overview, or null if it has not changed since the last call.
  async overview() {
    const answer = await fetch(`api/overview?${this.query}`, { headers: { "If-None-Match": this.tag } });
    if (answer.status === 304) return null;
    this.tag = answer.headers.get("ETag") ?? "";
    return this.content(answer);
  }

  async index() {
    this.rows = await this.content(await fetch(`api/index?${this.query}`));
    return this.rows;
  }

  async search(text) {
    const rows = this.rows;
    const found = await this.content(
      await fetch(`api/search?${this.query}&text=${encodeURIComponent(text)}`));
    const wanted = new Map(found.map(([run, kind, file, hits]) => [`${run} ${kind} ${file}`, new Set(hits)]));
    const { run, kind, file, row } = rows.columns;
    return Uint8Array.from(run ?? [], (r, i) =>
      wanted.get(`${r} ${rows.kinds[kind[i]]} ${rows.files[file[i]]}`)?.has(row[i]) ? 1 : 0);
  }

  async episode(place) {
    const { run, kind, file, row } = this.rows.columns;
    const where = new URLSearchParams({
      number: run[place], kind: this.rows.kinds[kind[place]], file: this.rows.files[file[place]], row: row[place],
    });
    return this.content(await fetch(`api/episode?${this.query}&${where}`));
  }

  async content(answer) {
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.detail ?? answer.statusText);
    return content;
  }
}
