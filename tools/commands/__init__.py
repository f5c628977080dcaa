"""One module a noun; each exposes `app` and is imported only when its noun is used."""
