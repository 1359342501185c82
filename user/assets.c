// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "assets.h"

#include <string.h>

#define EMBED(symbol, file) \
	extern const unsigned char symbol[], symbol##_end[]; \
	__asm__(".pushsection .rodata\n" #symbol ":\n.incbin \"" file ".gz\"\n" #symbol "_end:\n" \
		".popsection")

EMBED(asset_page_css, "page.css");
EMBED(asset_page_js, "page.js");
EMBED(asset_charts_js, "charts.js");
EMBED(asset_lib_js, "lib.js");
EMBED(asset_dygraph_js, "dygraph.js");
EMBED(asset_icon_svg, "icon.svg");

#define SCRIPT "text/javascript; charset=utf-8"

static const struct asset assets[] = {
	{"/page.css", "text/css; charset=utf-8", asset_page_css, asset_page_css_end},
	{"/page.js", SCRIPT, asset_page_js, asset_page_js_end},
	{"/charts.js", SCRIPT, asset_charts_js, asset_charts_js_end},
	{"/lib.js", SCRIPT, asset_lib_js, asset_lib_js_end},
	{"/dygraph.js", SCRIPT, asset_dygraph_js, asset_dygraph_js_end},
	{"/icon.svg", "image/svg+xml", asset_icon_svg, asset_icon_svg_end},
};

const struct asset *asset_find(const char *path)
{
	for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++)
		if (!strcmp(path, assets[i].path))
			return &assets[i];
	return NULL;
}

unsigned int asset_crc(const struct asset *a)
{
	unsigned int crc;

	memcpy(&crc, a->end - 8, sizeof(crc)); /* gzip ends with it and the length */
	return crc;
}
