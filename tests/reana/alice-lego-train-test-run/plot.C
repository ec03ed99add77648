// What the train counted.
void plot() {
  std::ifstream results("AnalysisResults.txt");
  long size;
  results >> size;
  std::ofstream("plot.txt") << "read " << size << " bytes\n";
}
