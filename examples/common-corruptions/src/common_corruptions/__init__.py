"""An evaluator for nasforge: accuracy under noise, blur and bad light."""
