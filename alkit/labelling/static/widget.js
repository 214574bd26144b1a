// The page of alkit.labelling.widget: one question at a time; every answer is kept here until the kernel has saved it.
// All text from outside (names, file names, reasons) becomes text nodes or attributes, never markup.

const PATIENCE_MS = [1500, 3000, 6000, 12000, 30000]; // until messages without acknowledgement are sent again
const PICTURES_KEPT = 60;
const LOOKING_MS = 250; // after which neighbours are asked for: they are for who looks, not for who types ahead
const LOOK_AGAIN_MS = 400; // no key is taken so soon after a picture changed that nobody answered
const KINDS = [["class", "with a class"], ["ambiguous", "ambiguous"], ["not mine", "not mine"], ["skipped", "skipped"]];
const OTHERS = [
  { name: "ambiguous", keys: ["a"], hint: "between classes, or too poor to tell" },
  { name: "not mine", keys: ["o"], hint: "none of the classes" },
  { name: "skip", keys: [" "], hint: "ask something else" },
];
const KEY_NAMES = { " ": "space" };

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const percent = (share) => `${Math.round(100 * share)} %`;
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const keycap = (key) => make("kbd", { "aria-hidden": "true" }, KEY_NAMES[key] ?? key);

/** Messages that the kernel has not acknowledged, in order. The browser's storage keeps them over a reload. */
class Outbox {
  constructor(model) {
    this.model = model;
    this.messages = [];
    this.attempt = 0;
    this.sent = 0; // when, in ms
    this.storage = null; // the name in the browser's storage, once the session is known
  }

  open(session) {
    if (this.storage) return;
    this.storage = `alkit-label:${session}`;
    const own = new Set(this.messages.map((one) => one.id));
    try {
      const left = JSON.parse(localStorage.getItem(this.storage) ?? "[]").filter((one) => !own.has(one.id));
      this.messages.unshift(...left);
    } catch { /* no storage here: a reload before the acknowledgement asks the question again */ }
    if (this.messages.length) this.sendAll();
  }

  keep() {
    try {
      if (this.messages.length) localStorage.setItem(this.storage, JSON.stringify(this.messages));
      else localStorage.removeItem(this.storage);
    } catch { /* as above */ }
  }

  add(message) {
    if (!this.messages.length) [this.attempt, this.sent] = [0, performance.now()];
    this.messages.push({ id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, ...message });
    this.keep();
    this.model.post(this.messages.at(-1));
  }

  sendAll() {
    this.sent = performance.now();
    this.messages.forEach((one) => this.model.post(one));
  }

  /** The message that `id` acknowledges, taken out; undefined where it is another page's. */
  acknowledge(id) {
    const at = this.messages.findIndex((one) => one.id === id);
    if (at < 0) return undefined;
    [this.attempt, this.sent] = [0, performance.now()];
    const [message] = this.messages.splice(at, 1);
    this.keep();
    return message;
  }

  /** Sends all again where an acknowledgement is overdue, less and less often; at once where the page was `woken`. */
  overdue(woken = false) {
    if (!this.messages.length) return;
    const late = performance.now() - this.sent > PATIENCE_MS[Math.min(this.attempt, PATIENCE_MS.length - 1)];
    if (late || (woken && this.attempt)) {
      this.attempt += 1;
      this.sendAll();
    }
  }

  get undoing() { return this.messages.some((one) => one.kind === "undo"); }
  answered(question) { return this.messages.some((one) => one.kind === "answer" && one.number === question.number); }
}

/** Pictures by position, decoded, so that they can be shown at once. */
class Pictures {
  constructor(model, thumbnail, arrived) {
    this.model = model;
    this.thumbnail = thumbnail;
    this.arrived = arrived;
    this.nodes = new Map();
    this.asked = new Map(); // position -> when, in ms
  }

  want(positions, longest) {
    const now = performance.now();
    const underWay = (one) => now - this.asked.get(one) < 3000 || this.model.known < this.asked.get(one); // a busy kernel is not asked twice
    const missing = positions.filter((one) => !this.nodes.has(one) && !(this.asked.has(one) && underWay(one)));
    missing.forEach((one) => this.asked.set(one, now));
    if (missing.length) this.model.post({ kind: "pictures", positions: missing, thumbnail: this.thumbnail, longest });
  }

  async take(message, buffer) {
    let node;
    if (message.trouble) {
      node = make("p", { className: "trouble" }, this.thumbnail ? "?" : `This image cannot be shown: ${message.trouble}`);
    } else {
      node = make("img", { alt: "", draggable: false });
      node.src = URL.createObjectURL(new Blob([buffer], { type: message.mime }));
      try { await node.decode(); } catch { /* shown as far as the browser can */ }
      node.classList.toggle("tiny", Math.max(node.naturalWidth, node.naturalHeight) < 200);
    }
    this.asked.delete(message.position);
    this.nodes.set(message.position, node);
    for (const [position, old] of this.nodes) {
      if (this.nodes.size <= PICTURES_KEPT) break;
      if (old.isConnected) continue;
      if (old.src) URL.revokeObjectURL(old.src);
      this.nodes.delete(position);
    }
    this.arrived();
  }

  close() { for (const node of this.nodes.values()) if (node.src) URL.revokeObjectURL(node.src); }
}

class Page {
  constructor(model, el) {
    this.model = model;
    this.state = null;
    this.onScreen = null; // the question whose picture is on the screen
    this.undos = 0; // wanted, not yet sent
    this.size = 640; // px, of the frame of the picture
    this.known = 0; // when the kernel last said something, and was last asked how far its fit is, in ms
    this.polled = 0;
    this.outbox = new Outbox(this);
    this.pictures = new Pictures(this, false, () => this.advance());
    this.thumbnails = new Pictures(this, true, () => this.showNeighbours());
    this.neighbours = [];
    this.build(el);
    this.shown = null;
    this.received = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.received);
    this.woken = () => this.outbox.overdue(true);
    addEventListener("online", this.woken);
    document.addEventListener("visibilitychange", this.woken);
    this.suppress = (event) => this.suppressShortcuts(event);
    window.addEventListener("keydown", this.suppress, true);
    this.ticking = setInterval(() => this.tick(), 500);
    this.patience = 4000; // ms, for the first word of the kernel
    this.greet();
  }

  greet() {
    this.greeted = performance.now();
    this.post({ kind: "hello" });
  }

  close() {
    clearInterval(this.ticking);
    clearTimeout(this.looking);
    this.model.off("msg:custom", this.received);
    window.removeEventListener("keydown", this.suppress, true);
    removeEventListener("online", this.woken);
    document.removeEventListener("visibilitychange", this.woken);
    this.pictures.close();
    this.thumbnails.close();
  }

  /** The question that can be answered: its picture is on the screen. */
  set shown(question) {
    this.question = question;
    if (question) this.root.dataset.question = question.number;
    else delete this.root.dataset.question;
  }

  get shown() { return this.question; }

  post(message) {
    try { this.model.send(message); } catch { /* the kernel is away: what matters is sent again */ }
  }

  // ---- what is on the page

  build(el) {
    const button = (label, keys, act, hint = "") => {
      const node = make("button", { type: "button", title: hint }, ...keys.map(keycap), make("span", {}, label));
      const names = keys.map((key) => KEY_NAMES[key] ?? key).join(" or ");
      node.setAttribute("aria-label", `${label}${hint ? `, ${hint}` : ""}${names ? `, key ${names}` : ""}`);
      if (keys.length) node.setAttribute("aria-keyshortcuts", keys.map((key) => (key === " " ? "Space" : key)).join(" "));
      node.addEventListener("click", (event) => {
        act();
        if (event.detail > 0) this.root.focus({ preventScroll: true }); // so that a key after a click is a key, not a press of this button
      });
      return node;
    };
    this.button = button;
    this.saved = make("span", { className: "saved" });
    this.place = make("span", { className: "place" }, "Connecting to the kernel…");
    this.helpButton = button("Keys", ["?"], () => this.toggleHelp());
    this.helpButton.setAttribute("aria-expanded", "false");
    this.frame = make("div", { className: "frame", role: "img", "aria-label": "No image yet" });
    this.caption = make("span", { className: "name" });
    this.why = make("span", { className: "why" });
    this.notice = make("p", { className: "notice", hidden: true });
    this.classes = make("div", { className: "answers classes", role: "group", "aria-label": "Classes" });
    this.undo = button("undo", ["u"], () => this.takeBack(), "take the last answer back");
    this.others = make("div", { className: "answers others", role: "group", "aria-label": "Other answers" },
      ...OTHERS.map((one) => button(one.name, one.keys, () => this.answer(one.name), one.hint)), this.undo);
    this.near = make("ul", { className: "near" });
    this.opinion = make("div", { className: "opinion", hidden: true });
    this.opinionButton = button("Show the classifier’s opinion", ["."], () => this.toggleOpinion());
    this.opinionButton.setAttribute("aria-expanded", "false");
    this.status = make("section", { className: "status", "aria-label": "Progress" });
    this.help = make("section", { className: "help", hidden: true, "aria-label": "Keys" });
    this.live = make("div", { className: "unseen", role: "status", "aria-live": "polite" });
    this.root = make("div", { className: "alkit-label", tabIndex: 0, role: "application",
      "aria-label": "Label images by key or button. Question mark lists the keys." },
      make("div", { className: "top" }, this.place, make("span", { className: "focus-hint" }, "click here to use the keys"), this.saved, this.helpButton),
      this.help,
      make("figure", {}, this.frame, make("figcaption", {}, this.caption, this.why)),
      make("div", { className: "ask" }, this.notice, this.classes, this.others),
      make("aside", { "aria-label": "Help to decide" }, make("h3", {}, "Most similar of what you labelled"), this.near,
        this.opinionButton, this.opinion),
      this.status, this.live);
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("pointerdown", (event) => {
      if (!event.target.closest("button")) this.root.focus({ preventScroll: true });
    });
    el.append(make("div", { className: "alkit-label-box" }, this.root));
  }

  buildAnswers(classes) {
    this.actions = new Map([["u", () => this.takeBack()], ["?", () => this.toggleHelp()], [".", () => this.toggleOpinion()]]);
    const rows = [];
    const offer = (name, keys, hint) => {
      keys.forEach((key) => this.actions.set(key, () => this.answer(name)));
      rows.push([keys, name, hint]);
    };
    this.classes.replaceChildren(...classes.map(({ name, digit, letter }) => {
      const keys = [digit, letter].filter(Boolean);
      offer(name, keys, "");
      return this.button(name, keys, () => this.answer(name));
    }));
    this.classes.classList.toggle("many", classes.length > 16);
    OTHERS.forEach((one) => offer(one.name, one.keys, one.hint));
    rows.push([["u"], "undo", "any number of steps"], [["."], "the classifier’s opinion", "hidden until asked for"], [["?"], "this list", ""]);
    this.help.replaceChildren(make("dl", {}, ...rows.map(([keys, name, hint]) => make("div", {},
      make("dt", {}, ...keys.map(keycap)), make("dd", {}, name, hint ? make("small", {}, ` ${hint}`) : "")))));
  }

  // ---- keys and buttons

  /** JupyterLab's own shortcuts are off for plain keys in here, and on for those with Ctrl, Command or Alt. */
  suppressShortcuts(event) {
    if (!this.root.contains(event.target)) return;
    this.root.toggleAttribute("data-lm-suppress-shortcuts", !(event.ctrlKey || event.metaKey || event.altKey));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    event.stopPropagation(); // the notebook has meanings of its own for single keys
    if (event.target.closest("button") && (event.key === " " || event.key === "Enter")) return; // presses that button
    if (event.key === "Escape" && !this.help.hidden) this.toggleHelp();
    const physical = event.shiftKey ? "" : event.code.replace(/^(Key|Digit)/, "").toLowerCase(); // other alphabets, AZERTY
    const act = this.actions?.get(event.key.toLowerCase()) ?? this.actions?.get(physical);
    if (!act) return;
    event.preventDefault();
    if (!event.repeat) act();
  }

  answer(name) {
    const question = this.shown;
    if (!question) return this.refuse();
    this.shown = null;
    this.say("");
    this.outbox.add({ kind: "answer", number: question.number, path: question.path, answer: name });
    this.advance();
  }

  refuse() {
    const why = this.state?.finished ? "there is no question" : this.outbox.undoing ? "an answer is being taken back" : "the next image is not there yet";
    this.say(`Not taken: ${why}.`, true);
  }

  takeBack() {
    this.undos += 1;
    this.sendUndo();
  }

  sendUndo() {
    if (!this.undos || !this.state || this.outbox.undoing) return;
    const number = this.outbox.messages.at(-1)?.number ?? this.state.last;
    if (number === null) {
      this.undos = 0;
      return this.say("There is no answer to take back.", true);
    }
    this.undos -= 1;
    this.shown = this.onScreen = null;
    this.outbox.add({ kind: "undo", number });
    this.advance();
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
    this.helpButton.setAttribute("aria-expanded", String(!this.help.hidden));
  }

  toggleOpinion() {
    const open = this.opinion.hidden && this.onScreen !== null;
    if (open) {
      this.opinion.replaceChildren("…");
      this.post({ kind: "opinion", position: this.onScreen.position });
    }
    this.opinion.hidden = !open;
    this.opinionButton.setAttribute("aria-expanded", String(open));
    this.opinionButton.querySelector("span").textContent = `${open ? "Hide" : "Show"} the classifier’s opinion`;
  }

  say(text, warn = false) {
    this.notice.textContent = text;
    this.notice.hidden = !text;
    this.notice.classList.toggle("warn", warn);
    if (text) this.live.textContent = text;
  }

  // ---- which picture is on the screen

  /** Shows the first question that is not answered once its picture is there, but never in place of one that is looked at. */
  advance() {
    if (!this.state) return;
    const open = this.state.questions.filter((one) => !this.outbox.answered(one));
    const looked = open.find((one) => one.number === this.onScreen?.number && one.path === this.onScreen.path);
    const next = this.outbox.undoing ? undefined : looked ?? open[0];
    this.size = Math.max(this.frame.clientWidth, this.frame.clientHeight) || this.size; // 0 where it is scrolled out of sight
    const longest = 128 * Math.ceil((this.size * (window.devicePixelRatio || 1)) / 128);
    this.pictures.want([...new Set([...open.map((one) => one.position), ...this.state.upcoming])], longest);
    const picture = next && this.pictures.nodes.get(next.position);
    if (!picture) this.shown = null;
    else if (!looked || !picture.isConnected || !(this.shown || this.appearing)) this.show(next, picture);
    if (!next && this.state.finished && !this.outbox.messages.length) this.finish();
    else this.frame.classList.toggle("waiting", !picture);
    this.showSaved();
  }

  show(question, picture) {
    const unexpected = this.shown !== null; // nobody answered what is on the screen
    this.shown = null;
    this.onScreen = question;
    this.frame.replaceChildren(picture);
    this.frame.classList.remove("waiting", "finished");
    this.frame.setAttribute("aria-label", `Image to label: ${question.path}`);
    this.caption.textContent = question.path;
    this.caption.title = question.path;
    this.why.textContent = question.why;
    this.place.textContent = `Question ${question.number}`;
    if (!this.opinion.hidden) this.toggleOpinion();
    this.neighbours = [];
    this.showNeighbours();
    if (unexpected) this.say("The image has changed: look again.", true);
    const appearing = (this.appearing = {});
    const alive = () => { // once it is painted, keys are for this picture
      if (this.appearing !== appearing) return;
      this.appearing = null;
      this.shown = question;
    };
    requestAnimationFrame(() => setTimeout(alive, unexpected ? LOOK_AGAIN_MS : 0));
    clearTimeout(this.looking);
    this.looking = setTimeout(() => this.post({ kind: "neighbours", position: question.position }), LOOKING_MS);
  }

  finish() {
    if (this.frame.classList.contains("finished")) return;
    this.onScreen = null;
    this.frame.classList.remove("waiting");
    this.frame.classList.add("finished");
    this.frame.replaceChildren(make("p", {}, make("strong", {}, "Finished"), make("br"), this.state.finished));
    this.frame.setAttribute("aria-label", `Finished: ${this.state.finished}`);
    this.place.textContent = "No more questions";
    for (const node of [this.caption, this.why]) node.textContent = "";
    this.neighbours = [];
    this.showNeighbours();
    if (!this.opinion.hidden) this.toggleOpinion();
  }

  // ---- what the kernel says

  receive(message, buffers) {
    this.known = performance.now();
    if (message.kind === "state") this.takeState(message);
    else if (message.kind === "picture") (message.thumbnail ? this.thumbnails : this.pictures).take(message, buffers[0]);
    else if (message.position !== this.onScreen?.position) return;
    else if (message.kind === "neighbours") {
      this.neighbours = message.neighbours;
      this.thumbnails.want(this.neighbours.map((one) => one.position));
      this.showNeighbours();
    }
    else if (message.kind === "opinion") this.showOpinion(message.opinion);
  }

  takeState(message) {
    const first = this.state === null;
    if (message.state) this.state = message.state;
    if (first && this.state) {
      this.buildAnswers(this.state.classes);
      this.outbox.open(this.state.session);
    }
    const done = message.ack && this.outbox.acknowledge(message.ack);
    if (done && message.refused) this.say(`“${done.answer}” for ${done.path} was not saved: ${message.refused}.`, true);
    else if (done) this.tell(done);
    if (message.trouble) {
      const kept = this.outbox.messages.length ? " What is not saved is kept here and sent again." : "";
      this.say(`${message.trouble}.${kept}`, true);
    }
    if (message.state) this.showStatus(this.state.status);
    this.advance();
    this.sendUndo();
  }

  tell(done) {
    if (this.outbox.messages.length === 0) this.say("");
    this.last = done.kind === "undo" ? "last answer taken back" : `${done.answer} saved`;
    this.live.textContent = `${this.last}. ${this.place.textContent}.`;
  }

  showSaved() {
    const waiting = this.outbox.messages.length;
    const late = waiting > 0 && this.outbox.attempt > 0;
    this.saved.classList.toggle("late", late);
    if (late) this.saved.textContent = `The kernel is busy or away: ${plural(waiting, "answer")} kept here, to be sent again`;
    else if (waiting) this.saved.textContent = "saving…";
    else this.saved.textContent = this.last ? `✓ ${this.last}` : "";
  }

  showNeighbours() {
    this.near.classList.toggle("empty", !this.neighbours.length);
    this.near.replaceChildren(...this.neighbours.map(({ position, answer, similarity }) => make("li",
      { title: `${answer} (cosine similarity ${similarity.toFixed(2)})` },
      make("div", { className: "thumbnail" }, this.thumbnails.nodes.get(position) ?? ""), make("span", {}, answer))));
  }

  showOpinion(opinion) {
    if (!opinion) return this.opinion.replaceChildren("There is no classifier yet.");
    this.opinion.replaceChildren(make("ul", {}, ...opinion.slice(0, 5).map(([name, share]) => {
      const bar = make("span", { className: "bar" });
      bar.style.setProperty("--share", share);
      return make("li", {}, make("span", { className: "name", title: name }, name), bar, make("b", {}, percent(share)));
    })));
  }

  showStatus({ looks, left, by_kind: counts, accuracy, naive, id_share: share, sentence, fitting, progress }) {
    const total = KINDS.reduce((sum, [kind]) => sum + (counts[kind] ?? 0), 0);
    const parts = KINDS.filter(([kind]) => counts[kind]).map(([kind]) => {
      const part = make("span", { className: kind.replace(" ", "-") });
      part.style.flexGrow = counts[kind] / total;
      return part;
    });
    const legend = KINDS.map(([kind, name]) => make("span", { className: `kind ${kind.replace(" ", "-")}` }, `${counts[kind] ?? 0} ${name}`));
    const lines = [];
    if (accuracy) {
      const range = `90 % interval ${Math.round(100 * accuracy.low)} to ${percent(accuracy.high)}`;
      lines.push(make("p", {}, "Estimated accuracy ", make("b", {}, percent(accuracy.value)), ` (${range}, ${plural(accuracy.n, "test answer")})`));
    } else lines.push(make("p", {}, "Estimated accuracy: not enough test answers yet"));
    if (naive !== null) lines.push(make("p", {}, `Right on the labelled images alone, which are no fair sample: ${percent(naive)}`));
    if (share !== null) lines.push(make("p", {}, `About ${percent(share)} of the next images belong to a class`));
    if (sentence) lines.push(make("p", { className: "sentence" }, sentence[0].toUpperCase() + sentence.slice(1)));
    const learning = make("p", { className: "learning" });
    if (fitting) learning.append("Learning from your answers ", make("progress", { max: 1, value: progress, "aria-label": "Learning" }), ` ${percent(progress)}`);
    this.status.replaceChildren(
      make("p", { className: "looks" }, make("b", {}, plural(looks, "look")), `, ${left} left`),
      make("div", { className: "split", role: "img", "aria-label": legend.map((one) => one.textContent).join(", ") }, ...parts),
      make("p", { className: "legend", "aria-hidden": "true" }, ...legend), make("div", { className: "lines" }, ...lines), learning);
  }

  /** Twice a second: what is overdue is sent or asked for again. */
  tick() {
    if (!this.root.isConnected) return;
    const now = performance.now();
    if (!this.state) {
      if (now - this.greeted > this.patience) {
        this.place.textContent = "The kernel is busy or away. If it was restarted, run this cell again.";
        this.patience = Math.min(2 * this.patience, 60_000);
        this.greet();
      }
      return;
    }
    this.outbox.overdue();
    this.advance();
    if (this.state.status.fitting && now - this.known > 900 && this.polled < this.known) {
      this.polled = now;
      this.post({ kind: "status" });
    }
  }
}

export default {
  render({ model, el }) {
    const page = new Page(model, el);
    return () => page.close();
  },
};
