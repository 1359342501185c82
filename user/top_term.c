// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The terminal: taken, listened to, given back. */
#include "top.h"

#include <curses.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* of ncurses' <term.h>, which has a struct term that is not ours */
extern int setupterm(const char *term, int fd, int *found);

#define INSTEAD "use `synwave stats --watch`"

static volatile sig_atomic_t ended;
static SCREEN *screen;
static FILE *terminal;
static sigset_t awake; /* the mask while we wait */

static void on_end(int sig)
{
	(void)sig;
	ended = 1;
}

bool top_term_ended(void)
{
	return ended;
}

/* Signals arrive where we wait and nowhere else: not even ^Z, whose handler is ncurses' own, meets a half-drawn line. */
static void catch_signals(void)
{
	static const int ours[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT}, theirs[] = {SIGTSTP, SIGWINCH};
	struct sigaction act = {.sa_handler = on_end};
	sigset_t all;

	sigemptyset(&all);
	for (size_t i = 0; i < SW_ARRAY_SIZE(ours); i++) {
		sigaction(ours[i], &act, NULL);
		sigaddset(&all, ours[i]);
	}
	for (size_t i = 0; i < SW_ARRAY_SIZE(theirs); i++)
		sigaddset(&all, theirs[i]);
	sigprocmask(SIG_UNBLOCK, &all, NULL); /* whoever started us may have blocked some */
	sigprocmask(SIG_BLOCK, &all, &awake);
}

/* A string of the terminal's description; ncurses has two ways to say that there is none. */
static bool has(const char *name)
{
	const char *string = tigetstr(name);

	return string && string != (char *)-1;
}

int top_term_check(char *why, size_t size)
{
	const char *term = getenv("TERM");
	int found, err;

	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
		snprintf(why, size, "standard %s is no terminal; " INSTEAD, isatty(STDOUT_FILENO) ? "input" : "output");
		return -1;
	}
	if (!term || !*term) {
		snprintf(why, size, "TERM is not set: it names the kind of terminal (export TERM=xterm), or " INSTEAD);
		return -1;
	}
	err = setupterm(term, STDOUT_FILENO, &found);
	if (err != OK && found < 0)
		snprintf(why, size,
			 "no terminfo database found (Debian: package ncurses-base; or set TERMINFO); or " INSTEAD);
	else if (err != OK && !found)
		snprintf(why, size, "TERM=%s: no such terminal in the terminfo database (try TERM=xterm), or " INSTEAD,
			 term);
	else if (err != OK || !has("cup") || !has("clear"))
		snprintf(why, size, "TERM=%s: this terminal cannot move its cursor; " INSTEAD, term);
	else
		return 0;
	return -1;
}

int top_term_open(char *why, size_t size)
{
	if (top_term_check(why, size))
		return -1;
	setlocale(LC_CTYPE, "");
	catch_signals(); /* before ncurses, which leaves handlers that are there alone */
	terminal = fdopen(STDOUT_FILENO, "w"); /* stdout has no file descriptor that ncurses could ask for */
	screen = terminal ? newterm(NULL, terminal, stdin) : NULL;
	if (!screen) {
		snprintf(why, size, "cannot use this terminal (TERM=%s); " INSTEAD, getenv("TERM"));
		return -1;
	}
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50); /* ms that the rest of a key's sequence may take */
	return 0;
}

void top_term_close(void)
{
	endwin();
	delscreen(screen);
	screen = NULL;
}

int top_term_key(u64 until)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	u64 now = store_now(), left = until > now ? until - now : 0;
	struct timespec t = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
	int key = getch(); /* ncurses may have read more than one */

	if (key == ERR) {
		if (ppoll(&in, 1, until ? &t : NULL, &awake) > 0 && in.revents & (POLLHUP | POLLERR | POLLNVAL))
			ended = 1;
		key = getch();
	}
	return key == KEY_RESIZE || key == ERR ? -1 : key;
}
