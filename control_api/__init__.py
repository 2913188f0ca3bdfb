"""The control API: people's commands in, trainers' receipts out, every run's state in one database.

It shares the contract with the trainers and imports nothing that trains: no torch, no wandb, no
`trainer`. The process holds no state that another could need; what it knows is in the database.
"""
