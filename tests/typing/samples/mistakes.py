import flow

flow.run("python train.py", num_instances="4")  # wrong
flow.run("python train.py", env={"EPOCHS": 3})  # wrong
flow.run("python train.py", instances=4)  # wrong
flow.run("python train.py", "8xh100")  # wrong
flow.TaskSpec()  # wrong
text: str = flow.run("true").result()  # wrong
flow.run("true").finish()  # wrong
