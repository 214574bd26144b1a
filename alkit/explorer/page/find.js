// Find: a name shows its images alone, a number pins that image; what was found is said beside the box.

function find(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return found("");
  const [column, codes] = namedBy(wanted);
  const number = /^#?\d+$/.test(wanted) ? Number(wanted.replace("#", "")) : N;
  if (!codes.length && number >= N) {
    const names = meta.categories.flatMap((one) => one.names).slice(0, 8);
    return found(`Nothing is called “${text.trim()}”.${names.length ? ` Names: ${names.join(", ")} …` : ""} Images: 0 to ${count(N - 1)}.`);
  }
  if (!codes.length) {
    if (state.pin !== number) pin(number);
    for (const pane of panes) pane.bringIntoView(number);
    return found(`Pinned ${describe(number)}.`);
  }
  const by = `category:${column}`;
  const all = [...meta.categories[column].names.keys(), meta.none.category];
  change({ by, hidden: { [by]: new Set(all.filter((code) => !codes.includes(code))) }, ranges: {} });
  const images = panes[0].points.drawn;
  const names = codes.map((code) => meta.categories[column].names[code]).join(", ");
  const other = number < N ? ` (image ${number}: #${number})` : "";
  found(`${count(images)} ${images === 1 ? "image" : "images"} of ${meta.categories[column].key} ${names}${other}.`);
}

// [column, codes] of a name: exact before part of a name, the first column before the next; "cluster 3" names both.
function namedBy(wanted) {
  if (wanted.startsWith("#")) return [0, []];
  const inColumn = meta.categories.map((column) => (wanted.startsWith(`${column.key.toLowerCase()} `) ? wanted.slice(column.key.length + 1).trim() : null));
  const fits = [(name, part) => name === part, (name, part) => !/^\d+$/.test(part) && name.includes(part)];
  const asked = inColumn.some((part) => part) ? inColumn : [];
  for (const parts of [asked, meta.categories.map(() => wanted)]) {
    for (const fit of fits) {
      for (const [c, part] of parts.entries()) {
        if (!part) continue;
        const codes = [...meta.categories[c].names.keys()].filter((code) => fit(meta.categories[c].names[code].toLowerCase(), part));
        if (codes.length) return [c, codes];
      }
    }
  }
  return [0, []];
}

const whatIsFound = () => JSON.stringify([Object.entries(state.hidden).map(([by, codes]) => [by, [...codes]]), state.ranges, state.pin]);

function found(text) {
  state.found = text && { text, of: whatIsFound() };
  showFound();
  say(text);
}

// It stays for as long as it is true.
function showFound() {
  const place = $("found");
  const there = Boolean(state.found) && state.found.of === whatIsFound();
  place.hidden = !there;
  if (!there) return place.replaceChildren();
  const all = Object.values(state.hidden).some((codes) => codes.size)
    ? h("button", { type: "button", class: "quiet", onclick: () => { $("query").value = ""; showAll(); } }, "Show all") : null;
  place.replaceChildren(...[h("span", {}, state.found.text), all].filter(Boolean));
}

function showAll() {
  change({ hidden: {}, ranges: {} });
}
