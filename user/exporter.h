/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the exporter serves: /metrics, /healthz and a page. */
#ifndef SYNWAVE_EXPORTER_H
#define SYNWAVE_EXPORTER_H

#include "http.h"

http_answer exporter_answer; /* ctx: struct scrape */

#endif
