// The status page. It asks the API once a second, as anybody may, and draws what it is told. Whatever it shows is put in
// as text, never as markup: names and reasons come from files and from servers.
'use strict';

const WORDS = {
  en: {
    unlock: 'Unlock', lock: 'Lock', token: 'Token of [admin]:', use: 'Use', events: 'What happened', routes: 'Routes',
    listeners: 'Ports', certificates: 'Certificates', reload: 'Reload the file',
    well: 'All is well', hurts: 'Something is wrong', look: 'Have a look', silent: 'lbd does not answer', locked: 'It asks for the token', ending: 'lbd is stopping',
    rps: 'Requests per second', errors: 'Errors (5xx)', p99: 'Slowest 1 % take', connections: 'Connections',
    most: 'at most {n}', ofWhich: '{idle} idle, {tunnels} tunnels',
    live: '{live} of {all} live', dark: 'no live server', waiting: '{n} waiting', retries: '{n} tried again',
    inFlight: 'in flight', perSecond: 'req/s', failures: 'failures', mean: 'ms mean', wait: 'ms now', weight: 'weight', tunnels: 'tunnels',
    backup: 'backup', added: 'added by {by}',
    up: 'up', drain: 'drains', down: 'down', out: 'out', checking: 'checking', 'warming up': 'warming up',
    doUp: 'Up', doDrain: 'Drain', doDown: 'Down', sure: 'Send nothing more to {server} of pool {pool}?',
    forTime: 'for {t}', probe: 'tried again in {t}', lastError: 'last failure {t} ago: {why}', downIn: 'down in {t}',
    poolDark: 'Pool {pool}: no live server', serverOut: '{pool} · {server} is out', serverDown: '{pool} · {server} is down',
    serverDrains: '{pool} · {server} drains', certEnded: 'Certificate {file} has ended', certEnds: 'Certificate {file} ends in {n} days',
    reloadFailed: 'The last reload failed: the file has faults, and the one before it is served',
    lost: '{n} access lines were lost: the disk does not take them', silentSince: 'since {t}; what is shown is from then',
    route: 'Route', leadsTo: 'Leads to', requests: 'Requests', name: 'Name', address: 'Address', speaks: 'Speaks', open: 'Open',
    idle: 'Idle', upgraded: 'Tunnels', refused: 'Refused', tls: 'TLS failures', sent: 'Sent', received: 'Received', file: 'File', names: 'Names',
    ends: 'Ends', days: 'Days left', running: 'version {version}, up {t}, serves {file}', nothing: 'Nothing yet',
    badToken: 'The token is not right, or there is none in [admin]',
  },
  zh: {
    unlock: '解锁操作', lock: '锁定', token: '[admin] 的令牌：', use: '使用', events: '最近事件', routes: '路由', listeners: '监听端口',
    certificates: '证书', reload: '重新加载配置',
    well: '一切正常', hurts: '有故障', look: '请留意', silent: 'lbd 没有响应', locked: '需要令牌', ending: 'lbd 正在停止',
    rps: '每秒请求数', errors: '错误（5xx）', p99: '最慢的 1% 耗时', connections: '连接数',
    most: '最高 {n}', ofWhich: '空闲 {idle}，隧道 {tunnels}',
    live: '{live}/{all} 台可用', dark: '没有可用的服务器', waiting: '{n} 个请求在排队', retries: '重试 {n} 次',
    inFlight: '处理中', perSecond: '请求/秒', failures: '失败', mean: '平均毫秒', wait: '当前毫秒', weight: '权重', tunnels: '隧道',
    backup: '备用', added: '由 {by} 添加',
    up: '在线', drain: '排空中', down: '已停用', out: '已摘除', checking: '检查中', 'warming up': '预热中',
    doUp: '启用', doDrain: '排空', doDown: '停用', sure: '不再向 {pool} 的 {server} 转发任何请求？',
    forTime: '已 {t}', probe: '{t}后再试', lastError: '最近一次失败在 {t}前：{why}', downIn: '{t}后停用',
    poolDark: '{pool}：没有可用的服务器', serverOut: '{pool} · {server} 已摘除', serverDown: '{pool} · {server} 已停用',
    serverDrains: '{pool} · {server} 正在排空', certEnded: '证书 {file} 已过期', certEnds: '证书 {file} 还有 {n} 天到期',
    reloadFailed: '上次重新加载失败：配置文件有错，仍在使用之前的配置',
    lost: '丢失了 {n} 行访问日志：磁盘写不进去', silentSince: '从 {t} 起；页面显示的是那时的数据',
    route: '路由', leadsTo: '去向', requests: '请求数', name: '名称', address: '地址', speaks: '协议', open: '连接',
    idle: '空闲', upgraded: '隧道', refused: '拒绝', tls: 'TLS 失败', sent: '发出', received: '收到', file: '文件', names: '域名',
    ends: '到期', days: '剩余天数', running: '版本 {version}，已运行 {t}，配置 {file}', nothing: '暂无',
    badToken: '令牌不对，或 [admin] 里没有配置令牌',
  },
};

const $ = (id) => document.getElementById(id);
const store = (key, value) => { try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); } catch { return null; } };

let language = store('lbd-language') || ((navigator.language || 'en').startsWith('zh') ? 'zh' : 'en');
let token = sessionStorage.getItem('lbd-token') || '';
let last = null;          // the last status, and when it came
let lastAt = 0;
let before = null;        // the one before it, for rates
let beforeAt = 0;
let lastEvent = 0;
let looking = false;
let lookAgain = false;
let lookedAt = 0;
const events = [];
const KEPT = 180;         // points of a chart: three minutes

function say(word, values = {}) {
  return (WORDS[language][word] ?? word).replace(/\{(\w+)\}/g, (_, key) => values[key] ?? '');
}

function time(seconds) {
  const zh = language === 'zh';
  const units = zh ? ['秒', '分', '小时', '天'] : [' s', ' min', ' h', ' d'];
  if (seconds < 100) return Math.round(seconds) + units[0];
  if (seconds < 6000) return Math.round(seconds / 60) + units[1];
  if (seconds < 172800) return Math.round(seconds / 3600) + units[2];
  return Math.floor(seconds / 86400) + units[3];
}

function clock(date) {
  return date.toLocaleTimeString('en-GB');
}

function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value >= 1e6) return (value / 1e6).toFixed(1) + 'M';
  if (value >= 1e4) return (value / 1e3).toFixed(1) + 'k';
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(value < 10 ? 1 : 0);
}

function bytes(value) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return (unit && value < 10 ? value.toFixed(1) : Math.round(value)) + ' ' + units[unit];
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Nothing is put anew that is there already, so that it can be selected and copied.
function put(element, text, small = '') {
  if (element.textContent === text + small && Boolean(element.firstElementChild) === Boolean(small)) return;
  element.replaceChildren(text);
  if (small) element.append(make('small', '', small));
}

// Makes the children of `parent` those of `items`, each known by its key: what is there stays, so that a button does not
// vanish under the finger.
function sync(parent, items, key, create, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const seen = new Map();
  const kept = items.map((item) => {
    const plain = String(key(item));
    // Two that are called the same are told apart by their order.
    const count = (seen.get(plain) ?? 0) + 1;
    seen.set(plain, count);
    const name = count > 1 ? `${plain}#${count}` : plain;
    const child = known.get(name) ?? create(item);
    child.dataset.key = name;
    update(child, item);
    return child;
  });
  kept.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  while (parent.children.length > kept.length) parent.lastElementChild.remove();
}

const total = (codes) => codes ? Object.values(codes).reduce((sum, n) => sum + n, 0) : 0;

// How much more `of` gives now than before, for each second.
function rate(now, then, of) {
  const seconds = (lastAt - beforeAt) / 1000;
  if (!then || seconds <= 0) return null;
  const more = of(now) - of(then);
  return more < 0 ? null : more / seconds;
}

function sameServer(pool, server) {
  const pools = before ? before.pools : [];
  const known = pools.find((other) => other.name === pool.name);
  return known && known.servers.find((other) => other.server === server.server);
}

// What 99 of 100 of the requests between two looks took at most, by a straight line through the class that it falls in.
function percentile(share) {
  if (!before) return null;
  const { bounds_ms: bounds, counts } = last.totals.durations;
  const then = before.totals.durations.counts;
  const more = counts.map((n, index) => n - then[index]);
  const all = more.reduce((sum, n) => sum + n, 0);
  if (all <= 0 || more.some((n) => n < 0)) return null;
  let rank = share * all;
  for (let index = 0; index < more.length; index += 1) {
    if (more[index] > 0 && rank <= more[index]) {
      const low = index ? bounds[index - 1] : 0;
      const high = bounds[index] ?? low;
      return low + (high - low) * rank / more[index];
    }
    rank -= more[index];
  }
  return bounds[bounds.length - 1];
}

const CHARTS = {
  rps: { points: [], of: () => rate(last, before, (s) => s.totals.requests), unit: '/s' },
  errors: { points: [], of: () => rate(last, before, (s) => s.listeners.reduce((sum, l) => sum + l.requests['5xx'], 0)), unit: '/s' },
  p99: { points: [], of: () => percentile(0.99), unit: ' ms' },
  connections: { points: [], of: () => last.totals.connections, unit: '', more: () => say('ofWhich', last.totals) },
};

function noteRates() {
  for (const chart of Object.values(CHARTS)) {
    chart.points.push(chart.of());
    if (chart.points.length > KEPT) chart.points.shift();
  }
}

function drawCharts() {
  sync($('charts'), Object.entries(CHARTS), ([name]) => name, ([name]) => {
    const card = make('article', 'chart ' + name);
    card.append(make('h3'), make('div', 'now'));
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('viewBox', `0 0 ${KEPT - 1} 100`);
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.setAttribute('aria-hidden', 'true');
    for (const kind of ['area', 'line']) {
      const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      path.setAttribute('class', kind);
      svg.append(path);
    }
    card.append(svg, make('div', 'most'));
    return card;
  }, (card, [name, chart]) => {
    const [title, now, svg, most] = card.children;
    put(title, say(name));
    const value = chart.points[chart.points.length - 1];
    put(now, number(value), value === null ? '' : chart.unit);
    const highest = Math.max(...chart.points.map((point) => point ?? 0));
    put(most, chart.more ? chart.more() : say('most', { n: number(highest) + chart.unit }));
    const first = KEPT - chart.points.length;
    const top = highest || 1;
    const line = chart.points.map((point, index) => `${index ? 'L' : 'M'}${first + index} ${(97 - 94 * (point ?? 0) / top).toFixed(1)}`).join('');
    const [area, stroke] = svg.children;
    stroke.setAttribute('d', line);
    area.setAttribute('d', `${line}L${KEPT - 1} 100L${first} 100Z`);
  });
}

function toneOf(server) {
  if (server.state === 'out') return 'bad';
  if (server.state === 'up') return '';
  return 'warn';
}

function why(server) {
  const parts = [];
  if (server.reason) parts.push(server.reason);
  if (server.out_seconds !== null) parts.push(say('forTime', { t: time(server.out_seconds) }));
  if (server.probe_in_seconds !== null) parts.push(say('probe', { t: time(server.probe_in_seconds) }));
  if (server.order && server.order.deadline_seconds !== null) parts.push(say('downIn', { t: time(server.order.deadline_seconds) }));
  if (server.state !== 'out' && server.last_error) {
    parts.push(say('lastError', { t: time(server.last_error_seconds_ago), why: server.last_error }));
  }
  return parts.join(language === 'zh' ? '；' : '; ');
}

function drawPools() {
  sync($('pools'), last.pools, (pool) => pool.name, (pool) => {
    const card = make('article', 'pool');
    const title = make('h3');
    title.append(make('span', 'name', pool.name), make('span', 'live'), make('span', 'more'));
    card.append(title, make('div', 'servers'));
    return card;
  }, (card, pool) => {
    const all = pool.servers.length;
    card.className = 'pool' + (pool.live === 0 ? ' bad' : pool.servers.some(toneOf) ? ' warn' : '');
    const [, live, more] = card.firstChild.children;
    put(live, pool.live === 0 ? say('dark') : say('live', { live: pool.live, all }));
    const known = before && before.pools.find((other) => other.name === pool.name);
    const parts = [pool.balance, `${number(rate(pool, known, (p) => p.requests))} ${say('perSecond')}`];
    if (pool.waiting) parts.push(say('waiting', { n: pool.waiting }));
    if (pool.retries) parts.push(say('retries', { n: number(pool.retries) }));
    put(more, parts.join(' · '));
    sync(card.lastChild, pool.servers, (server) => server.server, (server) => makeServer(pool.name, server.server), (row, server) => drawServer(row, pool, server));
  });
}

function makeServer(pool, server) {
  const row = make('div', 'server');
  row.append(make('div', 'name'), make('div', 'state'));
  for (let index = 0; index < 5; index += 1) row.append(make('div', 'number'));
  const orders = make('div', 'orders');
  for (const [state, word] of [['up', 'doUp'], ['drain', 'doDrain'], ['down', 'doDown']]) {
    const button = make('button');
    button.type = 'button';
    button.dataset.state = state;
    button.dataset.text = word;
    button.addEventListener('click', () => order(pool, server, state));
    orders.append(button);
  }
  row.append(orders, make('div', 'why'));
  return row;
}

function drawServer(row, pool, server) {
  row.className = 'server ' + toneOf(server);
  const [name, state, ...rest] = row.children;
  const remarks = [];
  if (server.backup) remarks.push(say('backup'));
  if (server.weight !== 1) remarks.push(`${say('weight')} ${server.weight}`);
  if (server.tunnels) remarks.push(`${server.tunnels} ${say('tunnels')}`);
  if (server.added_by) remarks.push(say('added', { by: server.added_by }));
  put(name, server.server, remarks.length ? ' ' + remarks.join(', ') : '');
  put(state, say(server.state));
  const known = sameServer(pool, server);
  const failures = Object.values(server.failures).reduce((sum, n) => sum + n, 0);
  const answers = known ? server.latency.count - known.latency.count : 0;
  const spent = known ? server.latency.count * (server.latency.mean_ms ?? 0) - known.latency.count * (known.latency.mean_ms ?? 0) : 0;
  const numbers = [
    [number(rate(server, known, (s) => total(s.requests))), 'perSecond'],
    [number(server.in_flight), 'inFlight'],
    [number(failures), 'failures'],
    [number(answers > 0 ? spent / answers : null), 'wait'],
    [number(server.latency.mean_ms), 'mean'],
  ];
  numbers.forEach(([value, word], index) => put(rest[index], value, say(word)));
  const orders = rest[5];
  orders.hidden = !token;
  for (const button of orders.children) {
    put(button, say(button.dataset.text));
    button.disabled = button.dataset.state === server.state;
  }
  put(rest[6], why(server));
}

function table(id, heads, rows) {
  const [head, body] = $(id).children;
  const fill = (parent, tag, lines) => sync(parent, lines.map((cells, index) => ({ cells, index })), (line) => line.index, () => {
    const row = make('tr');
    row.append(...heads.map(() => make(tag)));
    return row;
  }, (row, { cells }) => cells.forEach((cell, index) => {
    const [text, tone] = Array.isArray(cell) ? cell : [cell, ''];
    row.children[index].className = `${heads[index][1]} ${tone}`.trim();
    put(row.children[index], String(text));
  }));
  fill(head, 'th', [heads.map(([word]) => say(word))]);
  fill(body, 'td', rows);
}

function drawTables() {
  const n = 'number';
  table('routes', [['route', ''], ['leadsTo', 'text'], ['requests', n], ['4xx', n], ['5xx', n], ['p50 ms', n], ['p99 ms', n]],
    last.routes.map((route) => [route.route, route.leads_to, number(total(route.requests)), number(route.requests['4xx']),
      [number(route.requests['5xx']), route.requests['5xx'] ? 'warn' : ''], number(route.latency.p50_ms), number(route.latency.p99_ms)]));
  table('listeners', [['name', ''], ['address', ''], ['speaks', ''], ['open', n], ['idle', n], ['upgraded', n], ['refused', n], ['tls', n],
    ['requests', n], ['5xx', n], ['sent', n], ['received', n]],
  last.listeners.map((l) => [l.name, l.addresses.join(', '), l.protocol, number(l.connections) + (l.max_connections ? ` / ${number(l.max_connections)}` : ''),
    number(l.idle), number(l.tunnels), [number(l.refused), l.refused ? 'warn' : ''], number(l.tls_failures), number(total(l.requests)),
    [number(l.requests['5xx']), l.requests['5xx'] ? 'warn' : ''], bytes(l.sent_bytes), bytes(l.received_bytes)]));
  $('certificates-part').hidden = !last.certificates.length;
  table('certificates', [['file', 'text'], ['names', 'text'], ['ends', ''], ['days', n]],
    last.certificates.map((c) => [c.file, c.names.join(', '), c.not_after.slice(0, 10), [c.days_left, c.days_left < 7 ? 'bad' : c.days_left < 30 ? 'warn' : '']]));
}

// `failed` says why there is nothing new: `silent` or `locked`.
function drawVerdict(failed) {
  const bad = [];
  const warn = [];
  if (last) {
    for (const pool of last.pools) {
      if (pool.live === 0) bad.push(say('poolDark', { pool: pool.name }));
      for (const server of pool.servers) {
        const values = { pool: pool.name, server: server.server };
        const reason = why(server);
        const tail = reason ? ' — ' + reason : '';
        if (server.state === 'out') bad.push(say('serverOut', values) + tail);
        if (server.state === 'down') warn.push(say('serverDown', values) + tail);
        if (server.state === 'drain') warn.push(say('serverDrains', values) + tail);
      }
    }
    for (const c of last.certificates) {
      if (c.days_left < 0) bad.push(say('certEnded', { file: c.file }));
      else if (c.days_left < 30) warn.push(say('certEnds', { file: c.file, n: c.days_left }));
    }
    if (last.last_reload && !last.last_reload.ok) bad.push(say('reloadFailed'));
    if (last.lost_log_lines) warn.push(say('lost', { n: number(last.lost_log_lines) }));
  }
  const verdict = $('verdict');
  let word = say('well');
  if (failed) {
    word = say(failed);
    if (last) bad.unshift(say('silentSince', { t: clock(new Date(lastAt)) }));
  } else if (last && last.ending) word = say('ending');
  else if (bad.length) word = say('hurts');
  else if (warn.length) word = say('look');
  const isGood = !failed && !bad.length && !warn.length && !(last && last.ending);
  verdict.className = isGood ? 'good' : failed === 'silent' || bad.length ? 'bad' : 'warn';
  verdict.classList.toggle('old', Boolean(failed));
  put($('verdict-word'), word);
  sync($('verdict-reasons'), Object.entries([...bad, ...warn].slice(0, 12)), ([index]) => index, () => make('li'), (item, [, reason]) => put(item, reason));
  document.title = (isGood ? '' : '! ') + 'lbd · ' + location.host;
}

function drawEvents() {
  const list = $('events');
  const shown = events.slice(-200).reverse();
  const none = { id: 'none', none: true };
  sync(list, shown.length ? shown : [none], (event) => event.id, (event) => {
    const item = make('li');
    if (!event.none) {
      const isBack = ['server_back', 'pool_lit', 'reloaded'].includes(event.kind);
      item.className = isBack ? 'back' : event.severity;
      const at = new Date(event.at);
      const isToday = at.toDateString() === new Date().toDateString();
      const stamp = make('time', '', isToday ? clock(at) : at.toLocaleString('sv').slice(5, 16));
      stamp.title = at.toLocaleString();
      stamp.dateTime = event.at;
      item.append(stamp, make('span', '', event.text));
    }
    return item;
  }, (item, event) => { if (event.none) put(item, say('nothing')); });
}

function drawWords() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  document.querySelectorAll('[data-text]').forEach((element) => put(element, say(element.dataset.text)));
  put($('language'), language === 'zh' ? 'English' : '中文');
  put($('unlock'), say(token ? 'lock' : 'unlock'));
  $('reload').hidden = !token;
}

function draw() {
  drawWords();
  drawVerdict(null);
  put($('about'), say('running', { version: last.version, t: time(last.uptime_seconds), file: last.file }));
  drawCharts();
  drawPools();
  drawTables();
  drawEvents();
}

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (token) headers.Authorization = 'Bearer ' + token;
  // A reload may take its time; to say how it is takes lbd none.
  return fetch(path, { ...options, headers, signal: AbortSignal.timeout(options.method ? 15000 : 3000) });
}

// One look after the other, so that no event comes twice.
async function look() {
  if (looking) {
    lookAgain = true;
    return;
  }
  looking = true;
  try {
    await lookOnce();
  } finally {
    looking = false;
  }
  if (lookAgain) {
    lookAgain = false;
    look();
  }
}

async function lookOnce() {
  lookedAt = Date.now();
  let failed = 'silent';
  try {
    const answer = await ask('/api/v1/status');
    if (answer.status === 401 || answer.status === 403) {
      failed = 'locked';
      $('token').hidden = false;
    }
    if (!answer.ok) throw new Error(await answer.text());
    const status = await answer.json();
    [before, beforeAt] = [last, lastAt];
    // A lbd that has started anew counts from nothing.
    if (before && before.started_at !== status.started_at) { before = null; lastEvent = 0; events.length = 0; }
    [last, lastAt] = [status, Date.now()];
    const news = await (await ask(`/api/v1/events?since=${lastEvent}&limit=200`)).json();
    events.push(...news.events);
    lastEvent = news.last;
  } catch {
    drawWords();
    drawVerdict(failed);
    return;
  }
  noteRates();
  draw();
}

async function tell(path, method, body) {
  const box = $('answer');
  box.hidden = false;
  try {
    const answer = await ask(path, { method, body: body && JSON.stringify(body) });
    const text = await answer.text();
    const refused = answer.status === 401 || answer.status === 403;
    box.className = answer.ok ? '' : 'bad';
    const warning = answer.ok && text.startsWith('{') ? JSON.parse(text).warning : null;
    put(box, refused ? say('badToken') : warning || (answer.ok && body ? '✓' : text.trim()));
  } catch {
    box.className = 'bad';
    put(box, say('silent'));
  }
  setTimeout(() => { box.hidden = true; }, 8000);
  look();
}

function order(pool, server, state) {
  if (state === 'down' && !window.confirm(say('sure', { pool, server }))) return;
  tell(`/api/v1/pools/${encodeURIComponent(pool)}/servers/${encodeURIComponent(server)}`, 'PATCH', { state });
}

function setTheme(dark) {
  document.documentElement.classList.toggle('dark', dark);
}

$('language').addEventListener('click', () => {
  language = language === 'zh' ? 'en' : 'zh';
  store('lbd-language', language);
  if (last) draw();
  else drawWords();
});
$('theme').addEventListener('click', () => {
  const dark = !document.documentElement.classList.contains('dark');
  store('lbd-theme', dark ? 'dark' : 'light');
  setTheme(dark);
});
$('unlock').addEventListener('click', () => {
  if (token) {
    token = '';
    sessionStorage.removeItem('lbd-token');
    if (last) draw();
    return;
  }
  $('token').hidden = !$('token').hidden;
  $('token-value').focus();
});
$('token').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token-value').value.trim();
  $('token-value').value = '';
  $('token').hidden = true;
  sessionStorage.setItem('lbd-token', token);
  look();
});
$('reload').addEventListener('click', () => tell('/api/v1/reload', 'POST'));

const darkness = window.matchMedia('(prefers-color-scheme: dark)');
const likeTheBrowser = () => setTheme((store('lbd-theme') || (darkness.matches ? 'dark' : 'light')) === 'dark');
darkness.addEventListener('change', likeTheBrowser);
likeTheBrowser();
drawWords();
look();
// Of a page that is hidden only the title is seen.
setInterval(() => { if (!looking && (!document.hidden || Date.now() - lookedAt > 9500)) look(); }, 1000);
document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });
