// Shows which parts of a page came from the cache. Reads the comments that the debug layer added:
//   <!-- fragment 3f {"label":"index.html:4","outcome":"hit",…} -->…<!-- /fragment 3f -->
//   <!-- fragments {"request":{…},"elsewhere":[…]} -->   the request, and fragments without a position in the page
// Does not change the page: it draws in a shadow tree beside the body, which lets clicks through.
(() => {
  'use strict';
  const NAME = 'minijinja-cache-overlay';
  if (document.querySelector(NAME)) return;

  const OUTCOMES = {
    hit: 'served from memory',
    shared: 'served from the shared tier',
    joined: 'waited for another render',
    stale: 'served although expired',
    miss: 'rendered',
    bypass: 'rendered, not cached',
    error: 'failed',
  };
  const STYLE = `
    :host { --hit:#1a7f37; --shared:#0e7490; --joined:#0969da; --stale:#9a6700; --miss:#bc4c00; --bypass:#59636e; --error:#cf222e;
      --back:#fff; --text:#1f2328; --soft:#59636e; --line:#d1d9e0; --hover:#eef1f4; --halo:#fff9 }
    @media (prefers-color-scheme: dark) { :host { --hit:#3fb950; --shared:#39c5cf; --joined:#58a6ff; --stale:#d29922; --miss:#f0883e;
      --bypass:#9198a1; --error:#f85149; --back:#151b23; --text:#f0f6fc; --soft:#9198a1; --line:#3d444d; --hover:#262c36; --halo:#0009 } }
    @media print { :host { display:none !important } }
    * { box-sizing:border-box; margin:0; padding:0; font:inherit; color:inherit }
    .layer { position:absolute; inset:0; overflow:hidden }
    .box { position:absolute; border:2px solid var(--of); border-radius:3px; box-shadow:0 0 0 1px var(--halo), inset 0 0 0 1px var(--halo) }
    .box.stale, .box.bypass { border-style:dashed } .box.joined, .box.shared { border-style:dotted } .box.error { border-width:3px }
    .box.lit { background:color-mix(in srgb, var(--of) 18%, transparent); border-width:3px }
    .hit { --of:var(--hit) } .shared { --of:var(--shared) } .joined { --of:var(--joined) } .stale { --of:var(--stale) }
    .miss { --of:var(--miss) } .bypass { --of:var(--bypass) } .error { --of:var(--error) }
    .card, .panel, .bar { position:absolute; font:13px/1.45 system-ui, sans-serif; color:var(--text); background:var(--back);
      border:1px solid var(--line); border-radius:8px; box-shadow:0 4px 16px #0004; text-align:start; pointer-events:auto; color-scheme:light dark }
    .card { max-width:min(420px, calc(100vw - 16px)); padding:8px 10px; pointer-events:none }
    .bar { right:8px; bottom:8px; display:flex; overflow:hidden }
    .bar button { display:flex; gap:6px; align-items:center; min-height:36px; padding:4px 12px; border:0; background:none; cursor:pointer }
    .bar button + button { border-inline-start:1px solid var(--line) }
    button:hover { background:var(--hover) }
    button:focus-visible { outline:2px solid var(--joined); outline-offset:-2px }
    [aria-pressed]::before { content:''; width:10px; height:10px; border:2px solid var(--soft); border-radius:3px }
    [aria-pressed=true]::before { border-color:var(--hit); background:color-mix(in srgb, var(--hit) 40%, transparent) }
    .panel { right:8px; bottom:52px; width:min(480px, calc(100vw - 16px)); max-height:min(70vh, 640px); display:flex; flex-direction:column }
    .legend { display:flex; flex-wrap:wrap; gap:2px 14px; padding:8px 12px; border-bottom:1px solid var(--line); list-style:none }
    .legend li, .row { display:flex; gap:8px; align-items:center }
    .mark { flex:none; width:12px; height:12px; border:2px solid var(--of); border-radius:3px; background:color-mix(in srgb, var(--of) 30%, transparent) }
    .mark.stale, .mark.bypass { border-style:dashed } .mark.joined, .mark.shared { border-style:dotted }
    .total { padding:4px 12px; border-bottom:1px solid var(--line) }
    .list { overflow:auto; overscroll-behavior:contain; list-style:none }
    .row { width:100%; min-height:32px; padding:4px 12px; border:0; background:none; text-align:start; cursor:pointer }
    .row .label { flex:1; min-width:0; overflow-wrap:anywhere }
    .soft, dt { color:var(--soft) }
    .row .soft { flex:none; max-width:45%; text-align:end; font-variant-numeric:tabular-nums }
    h2 { font-weight:600; overflow-wrap:anywhere }
    dl { display:grid; grid-template-columns:auto 1fr; gap:1px 12px; padding:2px 0 } dd { overflow-wrap:anywhere }
    .facts { padding:0 12px 8px 32px }
    [hidden] { display:none !important }`;

  // ---- the comments of the page

  const parse = text => { try { return JSON.parse(text); } catch { return null; } };

  /** The fragments in the order of the document, followed by those without a position in it. */
  function read() {
    const fragments = [], open = [];
    let request = {}, elsewhere = [];
    const comments = document.createTreeWalker(document, NodeFilter.SHOW_COMMENT);
    for (let it; (it = comments.nextNode());) {
      const [, kind, rest] = /^ (fragment|\/fragment|fragments) (.*) $/s.exec(it.data) || [];
      if (kind === 'fragment') {
        const [, id, json] = /^([0-9a-f]+) (\{.*\})$/s.exec(rest) || [];
        const facts = json && parse(json);
        const known = facts && (page.known.get(it) || { id, facts, begin: it });
        if (known) open.push(Object.assign(known, { at: fragments.push(null) - 1, depth: open.length }));
      } else if (kind === '/fragment') {
        const at = open.findLastIndex(one => one.id === rest);
        if (at < 0) continue;
        const fragment = open[at];
        open.length = at;
        fragment.end = it;
        page.known.set(fragment.begin, fragment);
        fragments[fragment.at] = fragment;
      } else if (kind === 'fragments') {
        ({ request = {}, elsewhere = [] } = parse(rest) || {});
      }
    }
    const placeless = page.placeless || elsewhere.map(facts => ({ facts, depth: 0 }));
    return { ...page, request, placeless, fragments: [...fragments.filter(Boolean), ...placeless] };
  }

  const outcome = facts => (Object.hasOwn(OUTCOMES, facts.outcome) ? facts.outcome : 'bypass');
  const summary = facts => [facts.outcome, facts.why].filter(Boolean).join(': ');

  function time(ms) {
    if (!ms) return '0';
    if (ms < 1) return `${Math.round(ms * 1000)} µs`;
    if (ms < 1000) return `${ms.toPrecision(3)} ms`;
    const s = ms / 1000;
    if (s < 120) return `${+s.toFixed(1)} s`;
    return s < 7200 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
  }

  /** Name and value for display. The name of a fact ends with the unit of its value. */
  function fact([name, value]) {
    if (name.endsWith('_ms')) return [name.slice(0, -3), time(value)];
    if (name.endsWith('_s')) return [name.slice(0, -2), time(value * 1000)];
    return [name, Array.isArray(value) ? value.join(', ') : String(value)];
  }

  // ---- the position of a fragment

  /** Whether everything between the comments is inline content. */
  function isInline({ begin, end }) {
    if (begin.parentNode !== end.parentNode) return false;
    for (let it = begin.nextSibling, left = 40; it !== end; it = it.nextSibling) {
      if (!left--) return false;
      if (it.nodeType === 1 && !/^(inline|contents|none)$/.test(getComputedStyle(it).display)) return false;
    }
    return true;
  }

  /** The rectangles of a fragment: one for each line of inline content, or one around all of it. */
  function boxes(fragment) {
    if (!fragment.begin || !fragment.begin.isConnected || !fragment.end.isConnected) return [];
    const range = document.createRange();
    range.setStartAfter(fragment.begin);
    range.setEndBefore(fragment.end);
    const union = (a, b) => ({ left: Math.min(a.left, b.left), top: Math.min(a.top, b.top),
      right: Math.max(a.right, b.right), bottom: Math.max(a.bottom, b.bottom) });
    if (!isInline(fragment)) return [range.getBoundingClientRect()].filter(it => it.width && it.height);
    const lines = [];
    for (const rect of range.getClientRects()) {
      if (!rect.width || !rect.height) continue;
      const last = lines.at(-1);
      if (last && rect.top < last.bottom - 1 && rect.bottom > last.top + 1) lines[lines.length - 1] = union(last, rect);
      else lines.push(rect);
    }
    return lines;
  }

  // ---- the elements of the overlay

  const make = (tag, className = '', text = '') => {
    const it = document.createElement(tag);
    it.className = className;
    it.textContent = text;
    return it;
  };
  const button = (className, press) => {
    const it = make('button', className);
    it.type = 'button';
    it.addEventListener('click', press);
    return it;
  };

  const host = document.createElement(NAME);
  // The style of the host element: rules of the page must not apply to it.
  for (const [name, value] of Object.entries({ all: 'initial', position: 'fixed', inset: '0', 'z-index': '2147483647',
    display: 'block', 'pointer-events': 'none', contain: 'layout style' })) host.style.setProperty(name, value, 'important');
  const shadow = host.attachShadow({ mode: 'open' });
  // The page's Content-Security-Policy may forbid a style element.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  shadow.adoptedStyleSheets = [sheet];

  const layer = make('div', 'layer'), canvas = make('div'), card = make('div', 'card'), panel = make('section', 'panel');
  const legend = make('ul', 'legend'), total = make('dl', 'total'), list = make('ul', 'list'), bar = make('div', 'bar');
  canvas.style.position = 'absolute';
  card.setAttribute('role', 'status');
  panel.setAttribute('aria-label', 'Cached fragments of this page');
  const outlines = button('', () => { state.outlines = !state.outlines; apply(); });
  const count = button('', () => { state.list = !state.list; apply(); });
  outlines.textContent = 'Outlines';
  layer.append(canvas);
  panel.append(legend, total, list);
  bar.append(outlines, count);
  shadow.append(layer, panel, bar, card);

  const state = { outlines: true, list: false };
  try { Object.assign(state, parse(localStorage.getItem(NAME)) || {}); } catch { /* without storage the defaults apply */ }

  // The state of a fragment is kept with its comment, for example whether its row is open.
  let page = { request: {}, fragments: [], known: new WeakMap() }, drawn = [], lit = null;

  const terms = entries => entries.flatMap(([name, value]) => [make('dt', '', name.replaceAll(/[_-]/g, ' ')), make('dd', '', value)]);

  function facts(fragment) {
    const { label, outcome: came, why, ...rest } = fragment.facts;
    const it = make('dl');
    const entries = Object.entries(rest).map(fact);
    if (fragment.begin && !fragment.boxes?.length) entries.push(['place', 'not visible']);
    const places = { page: 'the whole page', value: 'none, it is a value' };
    if (!fragment.begin) entries.push(['place', places[fragment.facts.kind] || 'inside of a tag or a script, or not in the page']);
    it.append(...terms(entries));
    return it;
  }

  function describe(fragment) {
    const head = make('div');
    head.append(make('h2', '', fragment.facts.label || 'fragment'), make('p', '', summary(fragment.facts)));
    card.replaceChildren(head, facts(fragment));
  }

  /** Shows the card beside a point, inside of the window. */
  function showCard(fragment, x, y) {
    describe(fragment);
    card.hidden = false;
    const { width, height } = card.getBoundingClientRect();
    card.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - width - 8))}px`;
    card.style.top = `${y + 18 + height < innerHeight - 8 ? y + 18 : Math.max(8, y - height - 12)}px`;
  }

  function light(fragment) {
    if (lit === fragment) return;
    lit?.elements?.forEach(it => it.classList.remove('lit'));
    lit = fragment;
    lit?.elements?.forEach(it => it.classList.add('lit'));
    if (!lit) card.hidden = true;
  }

  function draw() {
    if (!state.outlines && !state.list) return;
    const origin = host.getBoundingClientRect(), x = scrollX - origin.left, y = scrollY - origin.top;
    // Measure everything before drawing, so that the browser computes the layout once.
    const measured = page.fragments.map(fragment => [fragment, boxes(fragment).map(it => ({
      left: it.left + x, top: it.top + y, right: it.right + x, bottom: it.bottom + y }))]);
    const enclosing = [], wanted = [];
    for (const [fragment, found] of measured) {
      fragment.boxes = found;
      // A fragment with the same box as the enclosing one is drawn inside of it.
      const outer = enclosing[fragment.depth - 1];
      fragment.inset = outer?.boxes[0] && found[0] && same(outer, fragment) ? outer.inset + 3 : -1;
      enclosing[fragment.depth] = fragment;
      fragment.elements = found.map((box, at) => {
        const element = fragment.elements?.[at] || make('div', `box ${outcome(fragment.facts)}`);
        return place(element, box, fragment.inset);
      });
      wanted.push(...fragment.elements);
    }
    drawn = page.fragments.filter(it => it.boxes.length);
    if (wanted.length !== canvas.children.length || wanted.some((it, at) => canvas.children[at] !== it)) canvas.replaceChildren(...wanted);
    follow();
  }

  function place(element, { left, top, right, bottom }, inset) {
    const style = `left:${left + inset}px;top:${top + inset}px;width:${Math.max(4, right - left - 2 * inset)}px;height:${Math.max(4, bottom - top - 2 * inset)}px`;
    if (element.placed !== style) element.style.cssText = element.placed = style;
    return element;
  }

  const same = ({ boxes: [a] }, { boxes: [b] }) => ['left', 'top', 'right', 'bottom'].every(it => Math.abs(a[it] - b[it]) < 3);
  const follow = () => { canvas.style.transform = `translate(${-scrollX}px, ${-scrollY}px)`; };

  function drawList() {
    const counts = Object.keys(OUTCOMES).map(it => [it, page.fragments.filter(one => outcome(one.facts) === it).length]);
    legend.replaceChildren(...counts.filter(([, many]) => many).map(([name, many]) => {
      const it = make('li', name);
      it.title = OUTCOMES[name];
      it.append(make('span', `mark ${name}`), `${many} ${name}`);
      return it;
    }));
    total.replaceChildren(...terms(Object.entries(page.request).map(fact)));
    total.hidden = !total.firstChild;
    const focused = page.fragments.find(it => it.row && it.row === shadow.activeElement);
    list.replaceChildren(...page.fragments.map(listed));
    focused?.row.focus();
  }

  /** A row of the list, which opens to show details. */
  function listed(fragment) {
    const it = make('li', outcome(fragment.facts));
    const row = (fragment.row = button('row', () => {
      fragment.open = !fragment.open;
      unfold();
      if (fragment.open) reveal(fragment);
    }));
    const shown = make('div', 'facts');
    const unfold = () => {
      row.setAttribute('aria-expanded', String(!!fragment.open));
      shown.replaceChildren(...(fragment.open ? [facts(fragment)] : []));
      shown.hidden = !fragment.open;
    };
    unfold();
    row.style.paddingInlineStart = `${12 + Math.min(fragment.depth, 8) * 12}px`;
    const { took_ms: took, saved_ms: saved } = fragment.facts;
    const cost = took !== undefined ? `, ${time(took)}` : saved !== undefined ? `, saved ${time(saved)}` : '';
    row.append(make('span', `mark ${outcome(fragment.facts)}`), make('span', 'label', fragment.facts.label || 'fragment'),
      make('span', 'soft', summary(fragment.facts) + cost));
    it.append(row, shown);
    for (const kind of ['pointerenter', 'focus']) row.addEventListener(kind, () => light(fragment));
    for (const kind of ['pointerleave', 'blur']) row.addEventListener(kind, () => light(null));
    return it;
  }

  function reveal(fragment) {
    const [box] = fragment.boxes || [];
    if (!box) return;
    const top = box.top - scrollY;
    if (top < 0 || top > innerHeight * 0.6) scrollTo({ top: box.top - innerHeight / 4 });
  }

  function apply() {
    layer.hidden = !state.outlines;
    panel.hidden = !state.list;
    outlines.setAttribute('aria-pressed', String(state.outlines));
    count.setAttribute('aria-expanded', String(state.list));
    draw();
    if (state.list) drawList();
    if (!state.outlines) light(null);
    try { localStorage.setItem(NAME, JSON.stringify(state)); } catch { /* without storage the state is lost */ }
  }

  // ---- changes of the page

  let reads = false, waiting = 0;
  /** Refreshes once for all changes within a tenth of a second. */
  function later(alsoRead) {
    reads ||= alsoRead;
    waiting ||= setTimeout(() => requestAnimationFrame(() => { waiting = 0; refresh(); }), 100);
  }

  function refresh() {
    if (!host.isConnected) document.documentElement.append(host);
    if (reads) {
      reads = false;
      light(null);
      page = read();
      const many = page.fragments.length;
      count.textContent = many === 1 ? '1 fragment' : `${many} fragments`;
      if (state.list) drawList();
    }
    draw();
  }

  /** The innermost fragment at a point. */
  function at(x, y) {
    const inside = box => box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
    return drawn.findLast(it => it.boxes.some(inside)) || null;
  }

  let moved = null;
  function point(event) {
    const asked = moved === null;
    moved = event;
    if (!asked) return;
    requestAnimationFrame(() => {
      const { clientX: x, clientY: y } = moved;
      const own = moved.composedPath().includes(host) || moved.target === host;
      moved = null;
      if (own || !state.outlines) return;
      const fragment = at(x + scrollX, y + scrollY);
      light(fragment);
      if (fragment) showCard(fragment, x, y);
    });
  }

  document.addEventListener('pointermove', point, { passive: true });
  document.addEventListener('pointerdown', point, { passive: true });
  document.documentElement.addEventListener('pointerleave', () => light(null));
  document.addEventListener('scroll', event => (event.target === document ? follow() : later(false)), { capture: true, passive: true });
  for (const kind of ['load', 'transitionend', 'animationend', 'toggle']) document.addEventListener(kind, () => later(false), true);
  addEventListener('resize', () => later(false));
  addEventListener('load', () => later(true));
  document.fonts?.ready.then(() => later(false));
  host.addEventListener('keydown', event => {
    if (event.key === 'Escape' && state.list) { state.list = false; apply(); count.focus(); }
  });

  function start() {
    card.hidden = true;
    document.documentElement.append(host);
    reads = true;
    refresh();
    apply();
    new MutationObserver(records => {
      const ours = records.every(it => it.target === host || [...it.addedNodes, ...it.removedNodes].some(node => node === host));
      if (!ours) later(records.some(it => it.type === 'childList'));
    }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, characterData: true });
    const resized = new ResizeObserver(() => later(false));
    resized.observe(document.documentElement);
    if (document.body) resized.observe(document.body);
  }
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start);
  else start();
})();
