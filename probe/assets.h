/* The dashboard's own style and script, built in. */
#ifndef VOLLEY_PROBE_ASSETS_H
#define VOLLEY_PROBE_ASSETS_H

/* Terminated text. */
extern const char asset_style[], asset_script[];

#endif
