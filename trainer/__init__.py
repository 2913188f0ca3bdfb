"""The bundled image-classification trainer: `python -m trainer params.json`.

It is a training program like any user's: of Midcourse it uses the public API alone, and it runs
the same whether a person, a test or the control API starts it. What it can train is held in
registries (`trainer.tasks`), so that one's own data set or model is one decorator away.
"""
