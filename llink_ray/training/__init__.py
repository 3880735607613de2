"""The method's training, without Ray or DeepSpeed: losses, samplers, Stage A and Stage B step by step."""
