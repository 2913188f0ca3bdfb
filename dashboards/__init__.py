"""Pages that show what runs logged: one definition, drawn as an HTML file or in W&B.

`records` is what runs left on disk, `pages` says which panels show it, and a renderer draws them:
`html` into one file that needs no other host. Knows the contract and nothing that trains; the
pages are pure functions of the records, and only reading and writing touch files.
"""
