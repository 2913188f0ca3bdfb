"""Pages as reports and workspaces of W&B; the only part of `dashboards` that loads `wandb`.

`report` and `workspace` are pure functions from a page and its records to what is saved there;
`publish` saves them, in place where they are, and leaves alone what people added.
"""
