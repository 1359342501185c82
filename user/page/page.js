// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Asks for /stats.json each second, renews the tables of the page and feeds the charts.
import {count, dig, el, quantileText, rate, timeOf, write} from './lib.js';
import {Charts} from './charts.js';

const EVERY = 1000, PATIENCE = 5000; // ms, from one question to the next, and for an answer
const SERVICES = 20; // rows of the table; the others are added up
const main = document.querySelector('main'), state = document.getElementById('state');
const charts = main.querySelector('table') && new Charts(main); // without tables there was nothing to show
let before = null; // the reading before this one, unless a question in between was not answered
let instance = null; // what attach made: another one counts anew
let lost = null; // when answers ceased
let paused = false;

// Growth per second of a counter; null without a past, or when it went back: it began anew.
function perSecond(now, was, seconds) {
	return seconds && was !== undefined && now >= was ? (now - was) / seconds : null;
}

// --- tables ---------------------------------------------------------------------------------------------------------

// Rows of texts, the first of each its heading. Only what differs is touched.
function fill(body, rows) {
	while (body.rows.length > rows.length)
		body.deleteRow(-1);
	rows.forEach((texts, i) => {
		const row = body.rows[i] ?? body.insertRow();
		texts.forEach((text, k) => {
			if (!row.cells[k])
				row.append(k ? el('td') : el('th', {scope: 'row'}));
			write(row.cells[k], text);
		});
	});
}

const bodyOf = id => document.getElementById(id).tBodies[0];

function addRateColumns() {
	document.getElementById('service-table').tHead.rows[0].cells[1].after(el('th', {scope: 'col'}, 'per second'));
	for (const table of document.querySelectorAll('table[data-rates]')) {
		table.tHead.rows[0].append(el('th', {scope: 'col'}, 'per second'));
		for (const cell of table.querySelectorAll('td[data-k]')) {
			const twin = el('td', {className: 'rate'});
			twin.dataset.rate = cell.dataset.k;
			cell.after(twin);
		}
	}
}

function showCells(stats, seconds) {
	for (const cell of document.querySelectorAll('[data-k]')) {
		const value = dig(stats, cell.dataset.k);
		if (cell.dataset.permille)
			write(cell, quantileText(value, Number(cell.dataset.permille)));
		else
			write(cell, typeof value === 'number' ? count(value) : value ?? '-');
	}
	for (const cell of document.querySelectorAll('[data-rate]')) {
		const now = dig(stats, cell.dataset.rate);
		write(cell, rate(perSecond(now, before && dig(before, cell.dataset.rate), seconds)));
	}
}

const nameOf = v => v.addr.includes(':') ? `[${v.addr}]:${v.port}` : `${v.addr}:${v.port}`;

function showServices(stats, seconds) {
	const was = new Map(before?.services.map(v => [nameOf(v), v.syn]));
	const others = [...stats.services.slice(SERVICES), stats.services_other];
	const sum = key => others.reduce((n, v) => n + v[key], 0);
	const row = (name, perS, of) => [name, count(of('syn')), rate(perS), ...['completed', 'refused', 'half_open']
		.map(key => count(of(key)))];
	// what has just become a service was none before: all its SYNs are new, or of the others
	fill(bodyOf('service-table'), [
		...stats.services.slice(0, SERVICES).map(v =>
			row(nameOf(v), perSecond(v.syn, was.get(nameOf(v)), seconds), key => v[key])),
		row('all others', null, sum),
	]);
}

function showTables(stats, seconds) {
	const read = new Date(stats.at_ns / 1e6);
	write(document.getElementById('when'), `${read.toISOString().slice(0, 10)} ${timeOf(read)}`);
	showCells(stats, seconds);
	showServices(stats, seconds);
	fill(bodyOf('interface-table'), stats.interfaces.map(v => [v.name, v.ingress, v.egress]));
}

// --- readings -------------------------------------------------------------------------------------------------------

async function ask() {
	let answer;
	try {
		answer = await fetch('stats.json', {cache: 'no-store', signal: AbortSignal.timeout(PATIENCE)});
	} catch {
		throw new Error('the exporter cannot be reached');
	}
	if (!answer.ok)
		throw new Error((await answer.text()).trim().slice(0, 500));
	return answer.json();
}

function take(stats) {
	lost = null;
	if (!charts) {
		location.reload(); // from now on there are tables
		return;
	}
	if (instance !== stats.created_ns) {
		instance = stats.created_ns;
		before = null;
		charts.restart();
	}
	const seconds = before ? (stats.monotonic_ns - before.monotonic_ns) / 1e9 : 0;
	if (before && seconds <= 0)
		return; // many pages are open, and this reading was had already
	charts.add(stats, path => before && perSecond(dig(stats, path), dig(before, path), seconds));
	if (!paused)
		showTables(stats, seconds);
	before = stats;
}

function miss(why) {
	lost ??= new Date();
	before = null;
	charts?.gap();
	return charts ? `No answer since ${timeOf(lost)}: ${why}` : `${why}. This page asks again each second.`;
}

async function tick() {
	const begin = performance.now();
	let text = paused ? 'Paused; what happens is still recorded.' : 'Live.', stats = null;
	try {
		stats = await ask();
	} catch (error) {
		text = miss(error.message);
	}
	setTimeout(tick, Math.max(100, EVERY - (performance.now() - begin)));
	if (stats)
		take(stats);
	write(state, text);
	state.className = lost ? 'bad' : '';
	main.className = lost ? 'stale' : '';
	if (!paused)
		charts?.draw();
}

function pauseButton() {
	const button = el('button', {type: 'button'}, 'Pause');
	button.addEventListener('click', () => {
		paused = !paused;
		write(button, paused ? 'Go on' : 'Pause');
	});
	return button;
}

if (charts) {
	addRateColumns();
	document.querySelector('header').append(pauseButton());
}
tick();
