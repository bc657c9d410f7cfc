"""Plain knowledge distillation: a student matches the softened predictions of a teacher."""
