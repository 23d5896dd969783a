"use strict";
(() => {
  const collator = new Intl.Collator("en", { numeric: true });
  const form = document.getElementById("filter");
  const ledger = document.getElementById("claims");
  const rows = [...ledger.tBodies[0].rows];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const fields = ["q", "verdict", "study"];
  const special = { "": NaN, "∞": Infinity, "−∞": -Infinity };

  // The rows beyond the first are made when they are asked for.
  const complete = (table) => {
    const box = table.closest(".box");
    const button = box.nextElementSibling?.querySelector(".all");
    if (!button || table.dataset.complete) return;
    const heads = [...table.tHead.rows[0].cells];
    const rest = button.closest("section").querySelectorAll("script.rest");
    const data = [...rest].find((part) => box.compareDocumentPosition(part) & Node.DOCUMENT_POSITION_FOLLOWING);
    for (const [mark, ...cells] of JSON.parse(data.textContent)) {
      const row = table.tBodies[0].insertRow();
      if (mark) row.className = mark;
      row.dataset.more = "";
      cells.forEach((cell, i) => {
        const made = row.insertCell();
        const [text, full] = Array.isArray(cell) ? cell : [cell];
        made.textContent = text;
        if (full) made.title = full;
        if (heads[i].dataset.kind === "number") made.className = "n";
      });
    }
    table.dataset.complete = "yes";
  };
  const expand = (table, open) => {
    const button = table.closest(".box").nextElementSibling?.querySelector(".all");
    if (!button) return;
    if (open) complete(table);
    const all = table.tBodies[0].rows;
    const first = all.length - table.querySelectorAll("tr[data-more]").length;
    [...all].forEach((row, i) => { row.hidden = !open && i >= first; });
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? `Show the first ${first} rows only` : `Show all ${all.length} rows`;
  };

  const key = (row, column, numeric) => {
    const cell = row.cells[column];
    const text = cell.dataset.key ?? (cell.title || cell.textContent);
    return numeric ? (special[text] ?? Number(text)) : text;
  };
  const missing = (value) => Number.isNaN(value) || value === "";
  const sort = (head, direction) => {
    const table = head.closest("table");
    const numeric = head.dataset.kind === "number";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", direction);
    expand(table, true);
    const sign = direction === "ascending" ? 1 : -1;
    const keyed = [...table.tBodies[0].rows].map((row) => [key(row, head.cellIndex, numeric), row]);
    // what has no value comes last in both directions
    keyed.sort(([a], [b]) => missing(a) - missing(b) || (missing(a) ? 0 : sign * (numeric ? (a > b) - (a < b) : collator.compare(a, b))));
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  };

  const sorted = () => [...ledger.tHead.rows[0].cells].find((head) => head.getAttribute("aria-sort") !== "none");
  const share = () => {
    const state = new URLSearchParams(fields.map((name) => [name, form.elements[name].value]).filter(([, value]) => value));
    const head = sorted();
    if (head) state.set("sort", (head.getAttribute("aria-sort") === "descending" ? "-" : "") + head.dataset.name);
    history.replaceState(null, "", `#${state.toString() || "ledger"}`);
  };
  const filter = () => {
    const words = form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { value: verdict } = form.elements.verdict;
    const { value: study } = form.elements.study;
    let shown = 0;
    for (const row of rows) {
      row.hidden = !((!verdict || row.dataset.verdict === verdict) && (!study || row.dataset.study === study)
        && words.every((word) => texts.get(row).includes(word)));
      shown += !row.hidden;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length} claims`;
  };
  const restore = () => {
    if (!location.hash.includes("=")) return;
    const state = new URLSearchParams(location.hash.slice(1));
    for (const name of fields) {
      form.elements[name].value = state.get(name) ?? "";
      if (form.elements[name].selectedIndex === -1) form.elements[name].value = "";
    }
    const order = state.get("sort") ?? "";
    const head = [...ledger.tHead.rows[0].cells].find((cell) => cell.dataset.name === order.replace(/^-/, ""));
    if (head) sort(head, order.startsWith("-") ? "descending" : "ascending");
    filter();
    document.getElementById("ledger").scrollIntoView();
  };

  const themes = { auto: "as the system", light: "light", dark: "dark" };
  const toggle = document.getElementById("theme");
  const kept = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("theme", value); } catch { /* not kept */ } } };
  const theme = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    toggle.textContent = `Colours: ${themes[name]}`;
  };
  toggle.addEventListener("click", () => {
    const names = Object.keys(themes);
    const next = names[(names.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % names.length];
    kept.set(next);
    theme(next);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const head = button.closest("thead th");
    if (head) {
      sort(head, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
      if (ledger.contains(head)) share();
    } else if (button.matches(".all")) {
      expand(button.parentElement.previousElementSibling.querySelector("table"), button.getAttribute("aria-expanded") === "false");
    } else if (button.matches(".enlarge")) {
      const whole = button.closest("figure").querySelector("img").classList.toggle("whole");
      button.setAttribute("aria-pressed", String(whole));
    }
  });
  form.addEventListener("input", () => { filter(); share(); });
  form.addEventListener("reset", () => setTimeout(() => { filter(); share(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", restore);
  addEventListener("beforeprint", () => { for (const image of document.images) image.loading = "eager"; });

  for (const hidden of document.querySelectorAll("#theme, #filter, .enlarge")) hidden.hidden = false;
  theme(kept.get() in themes ? kept.get() : "auto");
  filter();
  restore();
})();
