// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The charts: what they show, and how dygraphs (a script before this one) is told to draw it.
import {bucketAt, bucketTo, count, dig, duration, el, quantileText, rate, short, since, timeOf, write} from './lib.js';

const HISTORY = 600e3, SHORTEST = 60e3; // ms that are kept; that are shown when less is there
const RECENT = 60e3; // ms: "last minute" of the latencies

// A line: name, and the member of `stats --json` that it shows; with `rates`, its growth per second.
const LINES = [
	{title: 'Half-open connections', lines: [['half-open', 'half_open']]},
	{title: 'Endpoints in TIME_WAIT', lines: [['all', 'time_wait'], ['this host', 'time_wait_local']]},
	{title: 'SYNs per second', rates: true, lines: [
		['SYN', 'segments.syn'], ['SYN sent again', 'handshakes.syn_retransmits'],
		['SYN-ACK sent again', 'handshakes.synack_retransmits']]},
	{title: 'Handshakes per second', rates: true, lines: [
		['completed', 'handshakes.completed'], ['refused', 'handshakes.refused'], ['reset', 'handshakes.reset'],
		['timed out', 'handshakes.timed_out'], ['evicted', 'handshakes.evicted']]},
	{title: 'Guard: SYNs per second', rates: true, when: stats => stats.guard.mode !== 'off', lines: [
		['passed', 'guard.passed'], ['dropped', 'guard.dropped'], ['challenged', 'guard.challenged'],
		['would drop', 'guard.would_drop'], ['would challenge', 'guard.would_challenge']]},
];
const LATENCIES = [
	{title: 'Latency, SYN to SYN-ACK', path: 'latency.syn_synack'},
	{title: 'Latency, SYN-ACK to ACK', path: 'latency.synack_ack'},
];

// Its legend, plug-in or not, would set styles that our Content-Security-Policy forbids.
Dygraph.PLUGINS = [Dygraph.Plugins.Axes, Dygraph.Plugins.Grid];

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colors = names => ({colors: names.map(css), gridLineColor: css('--grid'), axisLineColor: css('--axis')});
const common = names => ({
	...colors(names), legend: 'never', labelsUTC: true, interactionModel: {}, // no zoom: a finger scrolls the page
	strokeWidth: 1.5, highlightCircleSize: 3, axisLabelFontSize: 12, rightGap: 8, gridLineWidth: 1,
});

class Chart {
	constructor(title, colorNames, ...below) {
		this.colorNames = colorNames;
		this.plot = el('div', {className: 'plot'});
		this.plot.setAttribute('aria-hidden', 'true'); // the numbers stand beside it
		this.figure = el('figure', {}, el('figcaption', {}, title), this.plot, ...below);
	}
}

// dygraphs' own, but for a label that would meet the lowest one of the other axis.
function timeTicks(from, to, pixels, ...more) {
	const left = from + (to - from) * 34 / pixels;
	return Dygraph.dateTicker(from, to, pixels, ...more).map(tick => tick.v < left ? {v: tick.v} : tick);
}

class LineChart extends Chart {
	constructor(spec, hover) {
		const values = spec.lines.map(() => el('b'));
		super(spec.title, spec.lines.map((_, i) => `--line-${i + 1}`));
		this.figure.lastChild.before(el('ul', {className: 'legend'}, ...spec.lines.map(([name], i) =>
			el('li', {className: `line-${i + 1}`}, el('i'), `${name} `, values[i]))));
		Object.assign(this, {spec, values, hover, rows: []});
		this.figure.hidden = !!spec.when;
	}

	push(t, values) {
		this.rows.push([new Date(t), ...values]);
		while (this.rows[0][0] < t - HISTORY)
			this.rows.shift();
	}

	add(t, stats, ratesOf) {
		this.push(t, this.spec.lines.map(([, path]) => this.spec.rates ? ratesOf(path) : dig(stats, path)));
		if (this.spec.when)
			this.figure.hidden = !this.spec.when(stats);
	}

	show(row) {
		const text = this.spec.rates ? rate : count;
		this.values.forEach((e, i) => {
			const value = this.rows[row]?.[i + 1] ?? null;
			write(e, value === null ? '-' : text(value));
		});
	}

	draw(now, row) {
		if (this.figure.hidden || !this.rows.length)
			return;
		const shown = Math.min(HISTORY, Math.max(SHORTEST, now - this.rows[0][0]));
		const top = Math.max(this.spec.rates ? 1 : 4, ...this.rows.flatMap(r => r.slice(1)));
		const what = {file: this.rows, dateWindow: [now - shown, now], valueRange: [0, top * 1.08]};
		if (this.graph)
			this.graph.updateOptions(what);
		else
			this.graph = this.begin(what);
		if (row === null)
			this.graph.clearSelection();
		else
			this.graph.setSelection(row);
		this.show(row ?? this.rows.length - 1);
	}

	begin({file, ...what}) {
		return new Dygraph(this.plot, file, {
			...common(this.colorNames), ...what, labels: ['time', ...this.spec.lines.map(l => l[0])],
			axes: {y: {axisLabelWidth: 40, pixelsPerLabel: 30, axisLabelFormatter: short},
				x: {axisLabelWidth: 66, pixelsPerLabel: 80, ticker: timeTicks}},
			highlightCallback: (event, x) => this.hover(x), unhighlightCallback: () => this.hover(null),
		});
	}
}

// Where an axis of log10(ns) has its labels.
function logTicks(from, to) {
	const steps = to - from < 2.5 ? [1, 2, 5] : [1], ticks = [];
	for (let decade = Math.floor(from); decade <= to; decade++)
		for (const step of steps) {
			const v = decade + Math.log10(step);
			if (v >= from && v <= to)
				ticks.push({v, label: duration(step * 10 ** decade).replace(/\.0+/, '')});
		}
	return ticks;
}

// Samples per octave, as a share: buckets are of unequal width on this axis, and areas are to be what they hold.
function density(hist) {
	const of = new Map(hist.buckets.map(([upper, n]) => [bucketTo(upper)[0], n]));
	return (from, to) => hist.count ? 100 * (of.get(from) ?? 0) / hist.count / Math.log2(to / Math.max(from, 512)) : 0;
}

const NAMES = ['since attach', `last ${RECENT / 1e3} s`];

class Histogram extends Chart {
	constructor(spec) {
		const cells = NAMES.map(() => [0, 1, 2, 3].map(() => el('td')));
		super(spec.title, ['--axis', '--line-1'], el('table', {ariaLabel: spec.title}, el('thead', {}, el('tr', {}, el('td'),
			...['samples', 'p50', 'p90', 'p99'].map(text => el('th', {scope: 'col'}, text)))),
		el('tbody', {}, ...cells.map((row, i) => el('tr', {}, el('th', {scope: 'row', className: `line-${i}`},
			el('i'), NAMES[i]), ...row)))));
		Object.assign(this, {spec, cells});
		this.restart();
	}

	restart() {
		this.past = []; // [time, histogram] of the last minute, and the one before
	}

	add(t, stats) {
		this.past.push([t, dig(stats, this.spec.path)]);
		while (this.past.length > 2 && this.past[1][0] <= t - RECENT)
			this.past.shift();
	}

	draw() {
		const all = this.past.at(-1)?.[1];
		if (!all)
			return;
		const both = [all, since(all, this.past[0][1]) ?? {count: 0, buckets: []}];
		both.forEach((hist, i) => [count(hist.count), ...[500, 900, 990].map(p => quantileText(hist, p))].forEach(
			(text, k) => write(this.cells[i][k], text)));
		const rows = this.rows(both), from = rows[0][0], to = rows.at(-1)[0];
		const what = {file: rows, dateWindow: [from, to],
			valueRange: [0, 1.08 * Math.max(1, ...rows.flatMap(r => r.slice(1)))]};
		if (this.graph)
			this.graph.updateOptions(what);
		else
			this.graph = this.begin(what);
	}

	// [log10(ns), a share of each]: steps, and a decade at least
	rows(both) {
		const of = both.map(density), bounds = both[0].buckets.map(b => bucketTo(b[0]));
		let from = Math.max(512, bounds[0]?.[0] ?? 10e3) / 1.3, to = (bounds.at(-1)?.[0] ?? 1e6) * 1.5;
		const rows = [];
		if (to < 10 * from)
			[from, to] = [Math.sqrt(from * to / 10), Math.sqrt(from * to * 10)];
		rows.push([Math.log10(from), 0, 0]);
		for (let [at, end] = bucketAt(from); at < to; [at, end] = bucketAt(end)) {
			if (at > from || !at)
				rows.push([Math.log10(Math.max(at, 512)), ...of.map(f => f(at, end))]);
			if (end === Infinity)
				break;
		}
		rows.push([Math.log10(to), 0, 0]);
		return rows;
	}

	begin({file, ...what}) {
		return new Dygraph(this.plot, file, {
			...common(this.colorNames), ...what, labels: ['ns', ...NAMES], stepPlot: true, highlightCircleSize: 0,
			series: {[NAMES[0]]: {fillGraph: true, fillAlpha: 0.65, strokeWidth: 0}},
			axes: {y: {drawAxis: false, drawGrid: false}, x: {ticker: logTicks, axisLabelWidth: 56}},
		});
	}
}

const TITLE = 'Last ten minutes, UTC';

export class Charts {
	constructor(main) {
		this.lines = LINES.map(spec => new LineChart(spec, at => this.hover(at)));
		this.histograms = LATENCIES.map(spec => new Histogram(spec));
		const apart = this.lines.filter(c => c.spec.when), always = this.lines.filter(c => !c.spec.when);
		this.all = [...always, ...this.histograms, ...apart];
		this.pointed = null; // time that the pointer is at
		this.title = el('h2', {id: 'charts-title'}, TITLE);
		const section = el('section', {id: 'charts'}, this.title,
			el('div', {className: 'charts'}, ...this.all.map(c => c.figure)));
		section.setAttribute('aria-labelledby', 'charts-title');
		main.prepend(section);
		matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
			for (const chart of this.all)
				chart.graph?.updateOptions(colors(chart.colorNames));
		});
	}

	// The clock of the page, which nobody sets.
	now() {
		return performance.timeOrigin + performance.now();
	}

	add(stats, ratesOf) {
		const t = this.now();
		for (const chart of this.all)
			chart.add(t, stats, ratesOf);
	}

	gap() {
		const t = this.now();
		for (const chart of this.lines)
			chart.push(t, chart.spec.lines.map(() => null));
	}

	restart() {
		this.gap();
		for (const chart of this.histograms)
			chart.restart();
	}

	hover(at) {
		this.pointed = at;
		this.draw();
	}

	draw() {
		const now = this.now(), rows = this.lines[0].rows;
		const row = this.pointed === null ? -1 : rows.findIndex(r => r[0] >= this.pointed);
		write(this.title, row < 0 ? TITLE : `At ${timeOf(rows[row][0])}`);
		for (const chart of this.all)
			chart.draw(now, row < 0 ? null : row);
	}
}
