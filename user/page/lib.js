// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What tables and charts share: elements, numbers as people write them, histograms.

// An element. Text goes in as text, never as markup: names of interfaces hold any character.
export function el(tag, props, ...children) {
	const e = Object.assign(document.createElement(tag), props);
	e.append(...children);
	return e;
}

// Only what differs is touched: a selection, and what a screen reader is at, stay.
export function write(e, text) {
	if (e.textContent !== text)
		e.textContent = text;
}

// "handshakes.started" of an object; undefined where it has none.
export const dig = (obj, path) => path.split('.').reduce((o, key) => o?.[key], obj);

// --- numbers --------------------------------------------------------------------------------------------------------

export const count = n => n.toLocaleString('en-US'); // 1,234,567

export function rate(perSecond) {
	if (perSecond === null)
		return '-';
	return perSecond && perSecond < 100 ? perSecond.toFixed(1) : count(Math.round(perSecond));
}

// For an axis: 0.5, 20, 1.5k, 3M
export function short(n) {
	const [by, unit] = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']].find(u => n >= u[0]) ?? [1, ''];
	return `${+(n / by).toFixed(2)}${unit}`;
}

const NBSP = '\u00a0';
const two = n => String(n).padStart(2, '0');

// As text_duration() of render_text.c, with a blank and µ: 412 µs, 1.24 ms, 3m05s
export function duration(ns) {
	if (ns === Infinity)
		return `>${NBSP}68${NBSP}s`;
	if (ns < 1000)
		return `${Math.floor(ns)}${NBSP}ns`;
	if (ns >= 60e9)
		return `${Math.floor(ns / 60e9)}m${two(Math.floor(ns / 1e9) % 60)}s`;
	const [by, unit] = ns < 999500 ? [1e3, 'µs'] : ns < 999500000 ? [1e6, 'ms'] : [1e9, 's'];
	const value = ns / by;
	return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + NBSP + unit;
}

export const timeOf = date => date.toISOString().slice(11, 19) + ' UTC';

// --- histograms: {count, buckets: [[first ns above, samples]...]}, as in `stats --json` ------------------------------

const LOWEST = 1024; // ns: what is faster lies in one bucket, include/synwave/hist.h
const HIGHEST = 2 ** 36; // what is slower, too; its bound is null

// Eight equal buckets an octave: the bounds of the one that holds `ns`.
export function bucketAt(ns) {
	if (ns < LOWEST)
		return [0, LOWEST];
	if (ns >= HIGHEST)
		return [HIGHEST, Infinity];
	const width = 2 ** (Math.floor(Math.log2(ns)) - 3);
	const from = Math.floor(ns / width) * width;
	return [from, from + width];
}

// The bounds of the bucket that ends at `upper`.
export const bucketTo = upper => bucketAt(upper === null ? HIGHEST : upper - 1);

// What was measured after `before`; null if that is not the past of `now`.
export function since(now, before) {
	const old = new Map(before.buckets);
	const buckets = now.buckets.map(([upper, n]) => [upper, n - (old.get(upper) ?? 0)]).filter(b => b[1]);
	if (now.count < before.count || buckets.some(b => b[1] < 0))
		return null;
	return {count: buckets.reduce((sum, b) => sum + b[1], 0), buckets};
}

// As snapshot_quantile(): what `permille` of the samples do not exceed, in ns.
export function quantile(hist, permille) {
	const rank = Math.max(1, Math.ceil(hist.count * permille / 1000));
	let below = 0;
	for (const [upper, n] of hist.buckets) {
		if (below + n >= rank) {
			const [from, to] = bucketTo(upper);
			return from + Math.floor((to - from) * (rank - below) / n);
		}
		below += n;
	}
	return Infinity;
}

export const quantileText = (hist, permille) => hist.count ? duration(quantile(hist, permille)) : '-';
