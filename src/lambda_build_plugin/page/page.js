"use strict";
(function () {
  const views = JSON.parse(document.getElementById("data").textContent);
  const LISTED = 100; // rows of a list before "show all"
  const COLOURS = 8;
  const DEEPEST = 4; // levels of folders that the map shows at once
  const HEADER = 18; // pixels
  const MOST_TILES = 1500;

  const byId = (id) => document.getElementById(id);
  const map = byId("map");
  let view, root, shown, measure = 0, query = "", all = false;
  let order = { column: 0, descending: true };
  let tiles = [];

  // Every text goes through here, so that no name becomes markup.
  function element(tag, properties, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(properties || {})) {
      if (key.startsWith("aria-") || key === "scope") made.setAttribute(key, value);
      else made[key] = value;
    }
    made.append(...children);
    return made;
  }

  function sizeText(bytes) {
    if (!bytes) return "0";
    const size = Math.abs(bytes) / 1024, sign = bytes < 0 ? "−" : "";
    if (size < 1) return `${sign}${Math.abs(bytes)} B`;
    if (size >= 1048576) return `${sign}${(size / 1048576).toFixed(1)} GB`;
    return sign + (size >= 100 ? `${(size / 1024).toFixed(1)} MB` : `${size.toFixed(1)} KB`);
  }
  const changeText = (bytes) => (bytes > 0 ? "+" : "") + sizeText(bytes);
  const shareText = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "");
  const counted = (number, thing) => `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;

  // --- the tree ---------------------------------------------------------------------------

  function makeTree(data, isDiff) {
    const node = (name, parent, isFile) => ({
      name, parent, isFile, children: [], count: 0, matches: 0,
      before: [0, 0], after: [0, 0], area: [0, 0],
    });
    const folders = [];
    for (const [name, parent] of data.folders) folders.push(node(name, folders[parent] || null, false));
    const files = data.files.map(([name, folder, sizes]) => {
      const made = node(name, folders[folder], true);
      made.before = isDiff ? sizes.slice(0, 2) : [0, 0];
      made.after = isDiff ? sizes.slice(2) : sizes;
      made.area = made.after.map((size, index) => Math.abs(size - made.before[index]));
      made.count = folder === 0 ? 0 : 1;
      return made;
    });
    for (const each of files) add(each);
    for (let index = folders.length - 1; index > 0; index--) add(folders[index]);
    for (const each of [...folders, ...files]) each.path = pathOf(each);
    for (const each of files) each.searched = `${groupOf(each).name}/${each.path}`.toLowerCase();
    folders[0].files = files.filter((file) => file.count); // without the headers of the zip
    for (const group of folders[0].children.filter((child) => !child.isFile)) {
      while (group.children.length === 1 && !group.children[0].isFile) group.children = group.children[0].children;
      for (const child of group.children) child.parent = group;
    }
    return folders[0];
  }

  function add(child) {
    const parent = child.parent;
    parent.children.push(child);
    parent.count += child.count;
    for (const index of [0, 1]) {
      for (const key of ["before", "after", "area"]) parent[key][index] += child[key][index];
    }
  }

  function groupOf(node) {
    let found = node;
    while (found.parent && found.parent.parent) found = found.parent;
    return found;
  }

  function pathOf(node) {
    const names = [];
    for (let each = node; each.parent && each.parent.parent; each = each.parent) names.unshift(each.name);
    return names.join("/");
  }

  const area = (node) => node.area[measure];
  const largestFirst = (nodes) => [...nodes].sort((a, b) => area(b) - area(a) || (a.name < b.name ? -1 : 1));
  const change = (node) => node.after[measure] - node.before[measure];

  function described(node) {
    const name = node.path || node.name || view.title;
    if (view.kind === "diff") {
      return `${name}: ${sizeText(node.before[measure])} → ${sizeText(node.after[measure])} (${changeText(change(node))})`;
    }
    const inside = node.isFile ? "" : `, ${counted(node.count, "file")}`;
    return `${name}: ${sizeText(node.after[0])} unzipped, ${sizeText(node.after[1])} zipped${inside}${node === root ? "" : `, ${shareText(area(node), area(root))} of all`}`;
  }

  // --- the map ----------------------------------------------------------------------------

  // Squarified treemaps (Bruls, Huizing, van Wijk 2000): rows that keep rectangles near squares.
  function squarified(nodes, box) {
    const placed = [];
    let { x, y, width, height } = box;
    let left = nodes.reduce((sum, node) => sum + area(node), 0);
    let start = 0;
    while (start < nodes.length && width > 0 && height > 0 && left > 0) {
      const scale = (width * height) / left, side = Math.min(width, height);
      let end = start, sum = 0, worst = Infinity;
      while (end < nodes.length) {
        const added = sum + area(nodes[end]) * scale, length = added / side;
        const ratio = Math.max(...[nodes[start], nodes[end]].map((node) => {
          const other = (area(node) * scale) / length;
          return Math.max(length / other, other / length);
        }));
        if (ratio > worst) break;
        worst = ratio; sum = added; end++;
      }
      const length = sum / side;
      let offset = 0;
      for (const node of nodes.slice(start, end)) {
        const other = (area(node) * scale) / length;
        placed.push([node, width >= height
          ? { x, y: y + offset, width: length, height: other }
          : { x: x + offset, y, width: other, height: length }]);
        offset += other;
        left -= area(node);
      }
      if (width >= height) { x += length; width -= length; } else { y += length; height -= length; }
      start = end;
    }
    return placed;
  }

  function drawMap() {
    tiles = [];
    const box = { x: 0, y: 0, width: map.clientWidth, height: map.clientHeight };
    place(shown, box, 0, null, null);
    if (tiles.length) tiles[0].button.tabIndex = 0;
    const nothing = view.kind === "diff" ? "Nothing differs in size here." : "There is nothing here.";
    map.replaceChildren(...(tiles.length ? tiles.map((tile) => tile.button) : [element("p", { className: "empty" }, nothing)]));
  }

  function place(folder, box, depth, colour, above) {
    const children = folder.isFile ? [folder] : largestFirst(folder.children).filter((node) => area(node) > 0);
    squarified(children, box).forEach(([node, at], index) => {
      if (at.width < 3 || at.height < 3 || tiles.length >= MOST_TILES) return;
      const own = colour === null ? index % COLOURS : colour;
      const opens = !node.isFile && depth < DEEPEST - 1 && at.width > 60 && at.height > 44;
      const tile = { node, above, depth, button: tileFor(node, at, own, depth, opens) };
      tiles.push(tile);
      if (opens) {
        const inner = { x: at.x + 2, y: at.y + HEADER, width: at.width - 4, height: at.height - HEADER - 2 };
        place(node, inner, depth + 1, own, tile);
      }
    });
  }

  function tileFor(node, at, colour, depth, opens) {
    const delta = change(node);
    const kind = view.kind === "diff" ? (delta > 0 ? "grew" : delta < 0 ? "shrank" : "none") : `c${colour}`;
    const button = element("button", {
      type: "button", tabIndex: -1, title: described(node),
      className: `tile ${kind} d${depth}${node.isFile ? " file" : ""}${opens ? " open" : ""}${query ? (node.matches ? (opens ? "" : " hit") : " dim") : ""}`,
      "aria-label": `${described(node)}${node.isFile ? "" : ", folder"}`,
    });
    const style = button.style;
    style.left = `${at.x}px`; style.top = `${at.y}px`; style.width = `${at.width}px`; style.height = `${at.height}px`;
    const size = view.kind === "diff" ? changeText(delta) : sizeText(node.after[measure]);
    if (at.width <= 34 || at.height <= 17) button.classList.add("bare");
    else {
      if (opens) button.append(element("span", {}, `${node.name}  ${size}`));
      else {
        button.append(element("span", {}, node.name));
        if (at.height > 36 && at.width > 58) button.append(element("span", { className: "size" }, size));
      }
    }
    return button;
  }

  function chosen(event) {
    const button = event.target.closest(".tile");
    const tile = tiles.find((each) => each.button === button);
    if (!tile) return;
    if (tile.node.isFile) say(described(tile.node));
    else open(tile.node, event.detail === 0);
  }

  function moved(event) {
    const now = tiles.find((each) => each.button === document.activeElement);
    if (event.key === "Escape" || event.key === "Backspace") {
      if (shown.parent) { const from = shown; open(shown.parent, true, from); }
    } else if (now) {
      const beside = tiles.filter((each) => each.above === now.above), index = beside.indexOf(now);
      const next = {
        ArrowRight: beside[index + 1], ArrowLeft: beside[index - 1], Home: beside[0], End: beside[beside.length - 1],
        ArrowDown: tiles.find((each) => each.above === now), ArrowUp: now.above,
      }[event.key];
      if (next === undefined && !event.key.startsWith("Arrow")) return;
      if (next) focusOn(next);
    } else return;
    event.preventDefault();
  }

  function focusOn(tile) {
    for (const each of tiles) each.button.tabIndex = -1;
    tile.button.tabIndex = 0;
    tile.button.focus();
  }

  // --- what is beside it ------------------------------------------------------------------

  const say = (text) => { byId("status").textContent = text; };

  function open(node, withFocus, from) {
    shown = node;
    all = false;
    draw();
    if (withFocus && tiles.length) focusOn(tiles.find((tile) => tile.node === from) || tiles[0]);
  }

  function draw() {
    drawCrumbs();
    drawMap();
    drawList();
  }

  function drawCrumbs() {
    const trail = [];
    for (let node = shown; node; node = node.parent) trail.unshift(node);
    byId("crumbs").replaceChildren(...trail.map((node) => {
      const name = node.parent ? node.name : view.title;
      if (node === shown) return element("li", { "aria-current": "location" }, name);
      return element("li", {}, element("button", { type: "button", className: "link", onclick: () => open(node, false) }, name));
    }));
    if (query) {
      const found = root.files.filter((file) => file.matches);
      const total = found.reduce((sum, file) => sum + file.after[measure], 0);
      say(`${counted(found.length, "file")} found, ${sizeText(total)}`);
    } else say(described(shown));
  }

  function drawList() {
    const nodes = query ? root.files.filter((file) => file.matches) : shown.isFile ? [shown] : shown.children;
    const sorted = largestFirst(nodes).filter((node) => query || view.kind === "zip" || area(node) > 0);
    const rows = all ? sorted : sorted.slice(0, LISTED);
    byId("list-title").textContent = query ? "Files that were found" : `In ${shown.parent ? shown.path || shown.name : view.title}`;
    const titles = view.kind === "diff" ? ["name", "before", "after", "change"] : ["name", "unzipped", "zipped", "share of all"];
    const body = rows.map((node) => {
      const label = (node.isFile || query ? node.path || node.name : node.name) + (node.isFile || node.parent === root ? "" : "/");
      const name = node.isFile ? element("bdi", {}, label) : element("button", { type: "button", className: "link", onclick: () => open(node, false) }, label);
      const cells = view.kind === "diff"
        ? [sizeText(node.before[measure]), sizeText(node.after[measure]), changeText(change(node))]
        : [sizeText(node.after[0]), sizeText(node.after[1]), shareText(area(node), area(root))];
      return element("tr", {}, element("td", {}, name), ...cells.map((text) => element("td", { className: "number" }, text)));
    });
    if (rows.length < sorted.length) {
      const more = element("button", { type: "button", className: "link", onclick: () => { all = true; drawList(); } },
        `Show all ${sorted.length.toLocaleString("en")}`);
      body.push(element("tr", {}, element("td", { colSpan: titles.length }, more)));
    }
    byId("list").replaceChildren(heading(titles), element("tbody", {}, ...body));
  }

  const heading = (titles) => element("thead", {}, element("tr", {}, ...titles.map((title, index) =>
    element("th", { scope: "col", className: index ? "number" : "" }, title))));

  function search() {
    query = byId("search").value.trim().toLowerCase();
    const todo = [root];
    for (const node of todo) { node.matches = 0; for (const child of node.children) todo.push(child); }
    if (query) {
      for (const file of root.files) {
        if (file.searched.includes(query)) for (let node = file; node; node = node.parent) node.matches++;
      }
    }
    all = false;
    draw();
  }

  function showGroup(name) {
    const group = root.children.find((each) => each.name === name);
    if (!group) return;
    byId("search").value = "";
    search();
    open(group, false);
    byId("map-title").scrollIntoView();
  }

  // --- packages, limits and lists ---------------------------------------------------------

  function columns() {
    const name = ["name", (row) => row.name];
    if (view.kind === "diff") {
      const of = (key, side) => (row) => row[key][side];
      return [name, ["before", of("versions", 0)], ["after", of("versions", 1)],
        ["unzipped before", of("unzipped", 0)], ["unzipped after", of("unzipped", 1)],
        ["unzipped change", (row) => row.unzipped[1] - row.unzipped[0], changeText],
        ["zipped change", (row) => row.zipped[1] - row.zipped[0], changeText]];
    }
    return [name, ["version", (row) => row.version], ["unzipped", (row) => row.unzipped], ["zipped", (row) => row.zipped],
      ["files", (row) => row.files, (number) => number.toLocaleString("en")], ["licence", (row) => row.licence || "not told"],
      ["why it is here", (row) => row.why.join(" → ") || "nothing else in the zip requires it"]];
  }

  function drawPackages() {
    const rows = view.kind === "diff" ? view.changes : view.packages;
    byId("packages-title").textContent = view.kind === "diff" ? `Packages that differ (${rows.length})` : `Packages (${rows.length})`;
    const all = columns(), value = all[order.column][1];
    const weight = (row) => (order.absolute ? Math.abs(value(row)) : value(row));
    const sorted = [...rows].sort((a, b) => {
      const [one, other] = [weight(a), weight(b)];
      const result = one < other ? -1 : one > other ? 1 : 0;
      return order.descending ? -result : result;
    });
    const head = all.map(([title], index) => {
      const attributes = { scope: "col" };
      if (index === order.column) attributes["aria-sort"] = order.descending ? "descending" : "ascending";
      if (rows.length && typeof all[index][1](rows[0]) === "number") attributes.className = "number";
      return element("th", attributes, element("button", { type: "button", onclick: () => sortBy(index, rows) }, title));
    });
    const body = sorted.map((row) => element("tr", {}, ...all.map(([, get, text], index) => {
      const content = get(row);
      if (index === 0) return element("td", {}, element("button", { type: "button", className: "link", onclick: () => showGroup(content) }, content));
      const isNumber = typeof content === "number";
      return element("td", { className: isNumber ? "number" : "" }, isNumber ? (text || sizeText)(content) : content);
    })));
    byId("packages").replaceChildren(element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
  }

  function sortBy(column, rows) {
    const isNumber = rows.length > 0 && typeof columns()[column][1](rows[0]) === "number";
    order = { column, descending: order.column === column ? !order.descending : isNumber };
    drawPackages();
    byId("packages").querySelectorAll("th button")[column].focus();
  }

  function limitLine(name, size, limit, note) {
    const fill = element("div", { className: size >= limit ? "fill over" : "fill" });
    fill.style.width = `${Math.min(100, (100 * size) / limit)}%`;
    return element("div", { className: "limit" }, element("span", {}, name),
      element("div", { className: "track", "aria-hidden": "true" }, fill),
      element("span", {}, `${sizeText(size)} of ${sizeText(limit)} (${Math.round((100 * size) / limit)} %)${note}`));
  }

  function drawLimits() {
    const lines = [];
    if (view.size) {
      const { zipped, unzipped, limit_zipped: upload, limit_unzipped: limit } = view.size;
      lines.push(limitLine("unzipped", unzipped, limit, ""));
      lines.push(limitLine("zipped", zipped, upload, zipped < upload ? " for a direct upload" : ": upload through S3"));
    } else {
      const [before, after] = view.sizes;
      ["unzipped", "zipped"].forEach((name, index) => lines.push(element("p", { className: "limit" }, element("span", {}, name),
        element("span", {}, `${sizeText(before[index])} → ${sizeText(after[index])} (${changeText(after[index] - before[index])})`))));
    }
    byId("limits").replaceChildren(...lines);
  }

  function drawSections() {
    byId("sections").replaceChildren(...view.sections.map((section) => element("section", {},
      element("h2", {}, `${section.title} (${section.lines.length})`),
      element("ul", { className: `list ${section.kind}` }, ...section.lines.map((line) => element("li", {}, line))))));
  }

  function show(index) {
    view = views[index];
    const isDiff = view.kind === "diff";
    root = shown = makeTree(view.tree, isDiff);
    order = { column: isDiff ? 5 : 2, descending: true, absolute: isDiff };
    byId("search").value = query = "";
    byId("title").textContent = document.title = view.title;
    byId("map-title").textContent = isDiff ? "What grew and what shrank" : "What fills it";
    byId("legend").hidden = !isDiff;
    byId("facts").replaceChildren(...view.facts.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value))));
    drawLimits();
    draw();
    drawPackages();
    drawSections();
  }

  byId("views").append(...views.map((each, index) => element("option", { value: index }, each.label)));
  byId("chooser").hidden = views.length < 2;
  byId("views").addEventListener("change", (event) => show(Number(event.target.value)));
  byId("search").addEventListener("input", search);
  for (const input of document.getElementsByName("measure")) {
    input.addEventListener("change", () => { measure = Number(input.value); draw(); });
  }
  map.addEventListener("click", chosen);
  map.addEventListener("keydown", moved);
  let width = map.clientWidth;
  new ResizeObserver(() => { if (map.clientWidth !== width) { width = map.clientWidth; drawMap(); } }).observe(map);
  show(0);
})();
